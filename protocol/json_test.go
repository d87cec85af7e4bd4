package protocol

import (
	"bytes"
	"encoding/json"
	"testing"
	"unsafe"
)

// full uses every field of every kind.
func full() *Message {
	return &Message{
		Type: "position", Channel: "trucks:eu", ID: []byte(`"a-1"`), Data: []byte(`{"at": [52.5,13.4],"note":"größe \u0041"}`),
		Kept: true, Offset: 1000, Prev: 900, Time: 1_790_000_000_000,
		Key: "truck\n17", Dedupe: "d", Exclude: "k3J9", Trace: "00-0af7", From: `ann "the driver" ☺`, Epoch: "e", Token: "t",
		Since: &Position{"e", 5},
		Channels: []Subscription{
			{Channel: "a"}, {Channel: "b", Since: &Position{"e", 0}}, {Channel: "c", Data: []byte(`{"last":2}`)},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	binary := full()
	binary.Data, binary.Binary = []byte("\x00\n\xff bytes"), true
	for name, m := range map[string]*Message{
		"full":     full(),
		"binary":   binary,
		"small":    {Type: "ping"},
		"first":    {Type: "a", Kept: true, Offset: 1},
		"nothing":  {Type: "a", Kept: true},
		"skip":     {Type: TypeSkip, Channel: "c", Kept: true, Offset: 9, Prev: 4},
		"control":  {Type: "subscribed", Channel: "c", Kept: true, Offset: 7, Epoch: "e"},
		"no bytes": {Type: "a", Binary: true, Data: []byte{}},
		"greatest": {Type: "a", Kept: true, Offset: MaxOffset, Prev: MaxOffset - 2, Time: MaxOffset},
	} {
		for _, codec := range codecs {
			if codec.name == "Binary" && !m.Binary {
				continue
			}
			t.Run(name+"/"+codec.name, func(t *testing.T) {
				wire := codec.append([]byte("before"), m)
				if !bytes.HasPrefix(wire, []byte("before")) {
					t.Fatal("does not append")
				}
				wire = wire[len("before"):]
				var got Message
				if err := codec.decode(wire, &got); err != nil {
					t.Fatalf("%q: %v", wire, err)
				}
				if !sameMessage(&got, m) {
					t.Fatalf("%q\ngot  %+v\nwant %+v", wire, got, m)
				}
				// A clone shares nothing with the frame.
				clone := got.Clone()
				for i := range wire {
					wire[i] = 'x'
				}
				if !sameMessage(clone, m) {
					t.Errorf("the clone changed with the frame: %+v", clone)
				}
			})
		}
	}
}

func TestCloneKeepsAbsence(t *testing.T) {
	c := (&Message{Type: "a"}).Clone()
	if c.ID != nil || c.Data != nil || c.Since != nil || c.Channels != nil {
		t.Errorf("%+v", c)
	}
	c = (&Message{Type: "a", Binary: true, Data: []byte{}}).Clone()
	if c.Data == nil {
		t.Error("an empty payload became none")
	}
	c.Reset()
	if c.Type != "" || c.Binary {
		t.Errorf("after Reset: %+v", c)
	}
}

// Appending to a part of a clone must not write over the next part.
func TestClonePartsAreApart(t *testing.T) {
	c := (&Message{ID: []byte("7"), Data: []byte("[1]")}).Clone()
	_ = append(c.ID, "xxxxxxxx"...)
	if string(c.Data) != "[1]" {
		t.Errorf("data became %s", c.Data)
	}
}

// What is decoded is not copied, and data stays what it is to the byte.
func TestDecodeAliases(t *testing.T) {
	data := `{ "b" :1.50, "a":"\u0061\/" }`
	frame := []byte(`{"data": ` + data + ` ,"type":"message","channel":"chat:1","id": 7.0 }`)
	var m Message
	if err := DecodeJSON(frame, &m); err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != data || string(m.ID) != "7.0" {
		t.Errorf("data %s, id %s", m.Data, m.ID)
	}
	inside := func(p *byte) bool {
		at := uintptr(unsafe.Pointer(p))
		first := uintptr(unsafe.Pointer(&frame[0]))
		return at >= first && at < first+uintptr(len(frame))
	}
	if !inside(unsafe.StringData(m.Type)) || !inside(unsafe.StringData(m.Channel)) || !inside(&m.Data[0]) || !inside(&m.ID[0]) {
		t.Error("something was copied")
	}
}

// Every beginning of a good text is a bad text, with the fault where it was cut.
func TestDecodeTruncated(t *testing.T) {
	for _, codec := range codecs {
		m := full()
		if codec.name == "Binary" {
			m.Data, m.Binary = []byte("payload"), true
		}
		wire := codec.append(nil, m)
		end := len(wire)
		if codec.name == "Binary" {
			end = bytes.IndexByte(wire, '\n') // a shorter payload is a payload
		}
		for cut := range end {
			var got Message
			err := codec.decode(wire[:cut:cut], &got)
			if codec.name == "Protobuf" && err == nil {
				// Between two fields it may well be cut.
				if again := AppendProtobuf(nil, &got); !bytes.Equal(again, wire[:cut]) {
					t.Errorf("%d bytes of %q were read as %q", cut, wire, again)
				}
				continue
			}
			if e, ok := err.(*Error); !ok || e.Code != CodeBadRequest {
				t.Fatalf("%s, %q: error %v", codec.name, wire[:cut], err)
			}
		}
	}
}

// A word that is cut short is noticed where the memory ends, too.
func TestWordsCutShort(t *testing.T) {
	for _, word := range []string{"true", "false", "null"} {
		for cut := 1; cut < len(word); cut++ {
			if p := []byte(word); ValidJSON(p[:cut:cut]) == nil {
				t.Errorf("%s is valid", p[:cut])
			}
		}
	}
}

// Every single wrong byte either is noticed or leaves a message that can be
// written and read again.
func TestDecodeDisturbed(t *testing.T) {
	for _, codec := range codecs {
		m := full()
		if codec.name == "Binary" {
			m.Data, m.Binary = []byte("payload"), true
		}
		wire := codec.append(nil, m)
		for at := range wire {
			for _, b := range []byte{0, '"', '{', '}', ',', '\\', ' ', '9', 0x7F, 0x80, 0xFF} {
				p := bytes.Clone(wire)
				p[at] = b
				checkDecode(t, codec.decode, codec.append, p)
			}
		}
	}
}

func TestFaultPositions(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"type":"a",}`, `expected a name in quotes at byte 12`},
		{`{"type":"a" "b":1}`, `expected a comma or } at byte 12`},
		{`{"type" "a"}`, `expected a colon at byte 8`},
		{`{"type":"a","data":[1 2]}`, `expected a comma or ] at byte 22`},
		{`{"type":"a","data":nul}`, `expected a JSON value at byte 19`},
		{`{"type":"a","data":"12345678` + "\xff" + `"}`, `invalid UTF-8 at byte 28`},
		{`{"type":"a","data":"\ud83dx"}`, `half of a surrogate pair at byte 20`},
		{`{"type":"a","data":{"k":1,"l":{"k":2,"m":3,"m":4}}}`, `the same name for a second time in one object, at byte 43`},
		{`{"type":"a"`, `the JSON text ends too early, at byte 11`},
	} {
		var m Message
		if err := DecodeJSON([]byte(c.text), &m); err == nil || AsError(err).Message != c.want {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// The decoder must not allocate for what clients mostly send.
func TestDecodeAllocatesNothing(t *testing.T) {
	for _, codec := range codecs {
		for _, m := range []*Message{
			{Type: "message", Channel: "chat:1", ID: []byte("7"), Data: []byte(`{"text":"größe","list":[{"a":1,"b":2},{"a":1,"b":2}],"n":1.5e3}`)},
			{Type: "position", Channel: "trucks:eu", Key: "truck-17", Dedupe: "d", ID: []byte(`"x"`), Data: []byte("null")},
			{Type: "subscribe", Channel: "orders", ID: []byte("1")},
			{Type: "ping"},
		} {
			if codec.name == "Binary" {
				m.Binary = true
			}
			wire := codec.append(nil, m)
			var got Message
			buf := make([]byte, 0, 512)
			if n := testing.AllocsPerRun(100, func() {
				if err := codec.decode(wire, &got); err != nil {
					t.Fatal(err)
				}
				codec.append(buf, &got)
			}); n != 0 {
				t.Errorf("%s, %q: %v allocations", codec.name, wire, n)
			}
		}
	}
	data := []byte(`{"a":{"b":{"c":[1,2,{"d":"e"}]}}}`)
	if n := testing.AllocsPerRun(100, func() {
		if err := ValidJSON(data); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("ValidJSON: %v allocations", n)
	}
}

func TestAppendString(t *testing.T) {
	for s, want := range map[string]string{
		"":                `""`,
		"plain":           `"plain"`,
		"größe 日本 😀":      `"größe 日本 😀"`,
		"a\"b\\c/d":       `"a\"b\\c/d"`,
		"\n\r\t\b\f\x00":  `"\n\r\t\u0008\u000c\u0000"`,
		"\x1f\x7f":        "\"\\u001f\x7f\"",
		"\xff":            "\"\ufffd\"",
		"a\xffb\xc0\xafc": "\"a\ufffdb\ufffd\ufffdc\"",
		"\xed\xa0\x80x":   "\"\ufffd\ufffd\ufffdx\"",
		"\ufffd":          "\"\ufffd\"",
	} {
		got := string(AppendString(nil, s))
		if got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != string([]rune(s)) {
			t.Errorf("%q: reads back as %q, error %v", s, back, err)
		}
		if err := ValidJSON([]byte(got)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// The text of a binary payload where bytes cannot travel.
func TestData64(t *testing.T) {
	m := &Message{Type: "a", Binary: true, Data: []byte{0xFF, 0xFE, 0xFD}}
	if got := string(AppendJSON(nil, m)); got != `{"type":"a","data64":"//79"}` {
		t.Error(got)
	}
}
