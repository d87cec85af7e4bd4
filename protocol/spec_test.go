package protocol

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"
)

// specCase is one case of the files in spec/, which are the same for every
// implementation of the protocol; spec/README.md says what its fields mean.
type specCase struct {
	Name string

	// The wire form: one of these.
	Text     *string
	Base64   []byte
	Frame    []byte
	Envelope string

	// What it says.
	Message   json.RawMessage
	Payload   *string
	Canonical bool

	// Or how it is refused.
	Code    Code
	ID      json.RawMessage
	Channel string
}

func (c *specCase) wire(t *testing.T) []byte {
	switch {
	case c.Text != nil:
		return []byte(*c.Text)
	case c.Base64 != nil:
		return c.Base64
	case c.Frame != nil:
		return c.Frame
	}
	p, err := hex.DecodeString(c.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type specFile struct {
	About          string
	Cases, Refused []specCase
}

func readSpec(t testing.TB, name string, into any) {
	t.Helper()
	p, err := os.ReadFile("../spec/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// codecs are the wire forms, each with its file of cases.
var codecs = []struct {
	name, file string
	decode     func([]byte, *Message) error
	append     func([]byte, *Message) []byte
}{
	{"JSON", "json.json", DecodeJSON, AppendJSON},
	{"Binary", "binary.json", DecodeBinary, AppendBinary},
	{"Protobuf", "protobuf.json", DecodeProtobuf, AppendProtobuf},
}

func TestSpec(t *testing.T) {
	for _, codec := range codecs {
		var f specFile
		readSpec(t, codec.file, &f)
		for _, c := range f.Cases {
			t.Run(codec.name+"/"+c.Name, func(t *testing.T) {
				wire := c.wire(t)
				var m Message
				if err := codec.decode(wire, &m); err != nil {
					t.Fatal(err)
				}
				if c.Message != nil {
					checkMessage(t, &m, &c)
				}
				if again := codec.append(nil, &m); c.Canonical && !bytes.Equal(again, wire) {
					t.Errorf("is written as %q, not %q", again, wire)
				}
			})
		}
		for _, c := range f.Refused {
			t.Run(codec.name+"/refused/"+c.Name, func(t *testing.T) {
				m := Message{Type: "before", Data: []byte("1")}
				err := codec.decode(c.wire(t), &m)
				e, ok := err.(*Error)
				if !ok || e.Code != c.Code || e.Message == "" || e.Retryable {
					t.Fatalf("error %v, want %s", err, c.Code)
				}
				t.Log(e.Message)
				if !reflect.DeepEqual(m, Message{ID: c.ID, Channel: c.Channel}) {
					t.Errorf("left behind %+v", m)
				}
				if !utf8.ValidString(e.Message) || len(e.Message) > 300 {
					t.Errorf("unfit to be told: %q", e.Message)
				}
			})
		}
	}
}

// checkMessage compares m with what the case says, field by field as JSON.
func checkMessage(t *testing.T, m *Message, c *specCase) {
	t.Helper()
	got, want := jsonOf(t, fields(m)), jsonOf(t, c.Message)
	if c.Payload != nil {
		delete(got.(map[string]any), "data64")
		if !m.Binary || base64.StdEncoding.EncodeToString(m.Data) != *c.Payload || m.Data == nil {
			t.Errorf("payload %q, want %s", m.Data, *c.Payload)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("says %v, want %v", got, want)
	}
}

// fields is m as JSON with prev filled in and all of channels as objects.
func fields(m *Message) map[string]any {
	f := map[string]any{"type": m.Type}
	for name, s := range map[string]string{"channel": m.Channel, "key": m.Key, "dedupe": m.Dedupe, "exclude": m.Exclude, "traceparent": m.Trace, "from": m.From, "epoch": m.Epoch, "token": m.Token} {
		if s != "" {
			f[name] = s
		}
	}
	if m.ID != nil {
		f["id"] = json.RawMessage(m.ID)
	}
	if m.Binary {
		f["data64"] = m.Data
	} else if m.Data != nil {
		f["data"] = json.RawMessage(m.Data)
	}
	if m.Kept {
		f["offset"] = m.Offset
		if !Verb(m.Type) {
			f["prev"] = m.Prev
		}
	}
	if m.Time != 0 {
		f["time"] = m.Time
	}
	position := func(p *Position) any { return map[string]any{"epoch": p.Epoch, "offset": p.Offset} }
	if m.Since != nil {
		f["since"] = position(m.Since)
	}
	var list []any
	for _, s := range m.Channels {
		item := map[string]any{"channel": s.Channel}
		if s.Since != nil {
			item["since"] = position(s.Since)
		}
		if s.Data != nil {
			item["data"] = json.RawMessage(s.Data)
		}
		list = append(list, item)
	}
	if list != nil {
		f["channels"] = list
	}
	return f
}

// jsonOf takes v through JSON, so that two of them can be compared.
func jsonOf(t *testing.T, v any) (out any) {
	t.Helper()
	p, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSpecNames(t *testing.T) {
	type name struct{ Kind, Name string }
	var f struct {
		About                    string
		Valid, Invalid, Reserved []name
	}
	readSpec(t, "names.json", &f)
	validators := map[string]func(string) error{
		"type": ValidType, "channel": ValidChannel, "key": ValidKey, "dedupe": ValidDedupe, "user": ValidUser,
	}
	for _, n := range f.Valid {
		if err := validators[n.Kind](n.Name); err != nil {
			t.Errorf("%s %q: %v", n.Kind, n.Name, err)
		}
	}
	for _, n := range f.Invalid {
		if e, ok := validators[n.Kind](n.Name).(*Error); !ok || e.Code != CodeBadRequest {
			t.Errorf("%s %q: %v", n.Kind, n.Name, e)
		}
	}
}

// A name that is kept for a verb is a type, and the name of no event.
func TestSpecReserved(t *testing.T) {
	var f struct {
		About          string
		Valid, Invalid json.RawMessage
		Reserved       []struct{ Kind, Name string }
	}
	readSpec(t, "names.json", &f)
	for _, n := range f.Reserved {
		if n.Kind != "type" || !Reserved(n.Name) || ValidType(n.Name) != nil {
			t.Errorf("%s %q", n.Kind, n.Name)
		}
	}
}

func TestSpecCloseCodes(t *testing.T) {
	var f struct {
		About string
		Cases []struct {
			Code   CloseCode
			Reason string
			Again  string
		}
	}
	readSpec(t, "close_codes.json", &f)
	for _, c := range f.Cases {
		if got := c.Code.Reason(); got != c.Reason {
			t.Errorf("%d: reason %q, want %q", c.Code, got, c.Reason)
		}
		if again := map[CloseCode]string{40: "change", 41: "backoff", 42: "now"}[c.Code/100]; again != "" && again != c.Again {
			t.Errorf("%d: %s, want %s", c.Code, c.Again, again)
		}
	}
	sent := 0
	for code := range CloseCode(5000) {
		if reason := code.Reason(); reason != "" {
			sent++
			if len(reason) > 123 {
				t.Errorf("%d: the reason has %d bytes", code, len(reason))
			}
		}
	}
	if sent != len(f.Cases) {
		t.Errorf("%d codes have a reason, the file has %d", sent, len(f.Cases))
	}
}

func TestSpecErrors(t *testing.T) {
	var f struct {
		About string
		Codes []struct {
			Code      Code
			Status    int
			Retryable bool
		}
		Data []json.RawMessage
	}
	readSpec(t, "errors.json", &f)
	for _, c := range f.Codes {
		if got := c.Code.HTTPStatus(); got != c.Status {
			t.Errorf("%s: status %d, want %d", c.Code, got, c.Status)
		}
		if got := Errorf(c.Code, "x").Retryable; got != c.Retryable {
			t.Errorf("%s: retryable %v", c.Code, got)
		}
	}
	for _, data := range f.Data {
		var d struct {
			Code       Code    `json:"code"`
			Message    string  `json:"message"`
			Retryable  bool    `json:"retryable"`
			RetryAfter float64 `json:"retry_after"`
			Rule       string  `json:"rule"`
			Limit      string  `json:"limit"`
			Reason     string  `json:"reason"`
			DidYouMean string  `json:"did_you_mean"`
		}
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatal(err)
		}
		e := &Error{d.Code, d.Message, d.Retryable, time.Duration(d.RetryAfter * float64(time.Second)), d.Rule, d.Limit, d.Reason, d.DidYouMean}
		if got := AppendErrorData(nil, e); !reflect.DeepEqual(jsonOf(t, json.RawMessage(got)), jsonOf(t, data)) {
			t.Errorf("%s, want %s", got, data)
		}
	}
}
