package protocol

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The descriptor is ringdown.proto as protoc reads it. To make it again:
//
//go:generate protoc --descriptor_set_out=testdata/ringdown.pb ringdown.proto

// envelope is the type Envelope of ringdown.proto.
func envelope(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	p, err := os.ReadFile("testdata/ringdown.pb")
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(p, &set); err != nil {
		t.Fatal(err)
	}
	file, err := protodesc.NewFile(set.File[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	if file.Package() != "ringdown.v1" {
		t.Fatalf("package %s", file.Package())
	}
	return file.Messages().ByName("Envelope")
}

// The descriptor must be that of the ringdown.proto that is shipped.
func TestDescriptorIsCurrent(t *testing.T) {
	source, err := os.ReadFile("ringdown.proto")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^  (optional |repeated )?(\w+) (\w+) = (\d+);$`)
	var written []string
	for _, l := range line.FindAllStringSubmatch(string(source), -1) {
		written = append(written, l[1]+l[2]+" "+l[3]+" = "+l[4])
	}
	var described []string
	messages := envelope(t).ParentFile().Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			f := fields.Get(j)
			kind := f.Kind().String()
			if f.Message() != nil {
				kind = string(f.Message().Name())
			}
			switch {
			case f.HasOptionalKeyword():
				kind = "optional " + kind
			case f.Cardinality() == protoreflect.Repeated:
				kind = "repeated " + kind
			}
			described = append(described, kind+" "+string(f.Name())+" = "+strconv.Itoa(int(f.Number())))
		}
	}
	if len(written) != 22 || !equal(written, described) {
		t.Errorf("ringdown.proto has\n%q\nand its descriptor\n%q", written, described)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// official decodes p with the Protobuf library.
func official(t testing.TB, d protoreflect.MessageDescriptor, p []byte) (*Message, error) {
	t.Helper()
	e := dynamicpb.NewMessage(d)
	if err := proto.Unmarshal(p, e); err != nil {
		return nil, err
	}
	field := func(name string) protoreflect.FieldDescriptor {
		f := d.Fields().ByName(protoreflect.Name(name))
		if f == nil {
			t.Fatalf("no field %s", name)
		}
		return f
	}
	text := func(name string) string { return e.Get(field(name)).String() }
	m := &Message{
		Type: text("type"), Channel: text("channel"), Key: text("key"), Dedupe: text("dedupe"), Exclude: text("exclude"), Trace: text("traceparent"),
		From: text("from"), Epoch: text("epoch"), Token: text("token"),
		Data: e.Get(field("payload")).Bytes(), Binary: e.Get(field("binary")).Bool(),
		Kept: e.Has(field("offset")), Offset: e.Get(field("offset")).Uint(), Prev: e.Get(field("prev")).Uint(),
		Time: int64(e.Get(field("time")).Uint()),
	}
	if id := text("id"); id != "" {
		m.ID = []byte(id)
	}
	if len(m.Data) == 0 {
		m.Data = nil
		if m.Binary {
			m.Data = []byte{}
		}
	}
	m.fillPrev(e.Has(field("prev")))
	if e.Has(field("since")) {
		m.Since = officialPosition(e.Get(field("since")).Message())
	}
	list := e.Get(field("channels")).List()
	for i := range list.Len() {
		s := list.Get(i).Message()
		f := s.Descriptor().Fields()
		sub := Subscription{Channel: s.Get(f.ByName("channel")).String()}
		if p := s.Get(f.ByName("payload")).Bytes(); len(p) > 0 {
			sub.Data = p
		}
		if s.Has(f.ByName("since")) {
			sub.Since = officialPosition(s.Get(f.ByName("since")).Message())
		}
		m.Channels = append(m.Channels, sub)
	}
	return m, nil
}

func officialPosition(p protoreflect.Message) *Position {
	f := p.Descriptor().Fields()
	return &Position{p.Get(f.ByName("epoch")).String(), p.Get(f.ByName("offset")).Uint()}
}

// checkOfficial holds our decoder against the library's: what ours takes, that
// reads the same; what that refuses, ours refuses.
func checkOfficial(t *testing.T, d protoreflect.MessageDescriptor, p []byte) {
	t.Helper()
	var m Message
	err := DecodeProtobuf(p, &m)
	theirs, theirErr := official(t, d, p)
	switch {
	case err == nil && theirErr != nil:
		t.Fatalf("%x: accepted, but the library says %v", p, theirErr)
	case err == nil && !sameMessage(&m, theirs):
		t.Fatalf("%x: read as\n%+v, by the library as\n%+v", p, m, theirs)
	}
}

func TestProtobufAgainstLibrary(t *testing.T) {
	d := envelope(t)
	var f specFile
	readSpec(t, "protobuf.json", &f)
	for _, c := range append(f.Cases, f.Refused...) {
		checkOfficial(t, d, c.wire(t))
	}
	for _, m := range []*Message{full(), {Type: "a", Binary: true, Data: []byte{}}, {Type: "a", Kept: true}, {Type: "ping"}} {
		p := AppendProtobuf(nil, m)
		checkOfficial(t, d, p)
		// The library writes the same bytes, as both write fields in their order.
		e := dynamicpb.NewMessage(d)
		if err := proto.Unmarshal(p, e); err != nil {
			t.Fatal(err)
		}
		if len(e.GetUnknown()) > 0 {
			t.Errorf("fields that ringdown.proto does not have: %x", e.GetUnknown())
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		if err != nil || !bytes.Equal(again, p) {
			t.Errorf("the library writes %x, error %v, and we %x", again, err, p)
		}
	}
}

// 1000 channels are in order, one more is not, in both forms.
func TestBatchLimit(t *testing.T) {
	for _, n := range []int{MaxBatch, MaxBatch + 1} {
		m := &Message{Type: TypeSubscribe, Channels: make([]Subscription, n)}
		for i := range m.Channels {
			m.Channels[i].Channel = "c" + strconv.Itoa(i)
		}
		for _, codec := range codecs {
			if codec.name == "Binary" {
				continue
			}
			var got Message
			err := codec.decode(codec.append(nil, m), &got)
			if (err == nil) != (n == MaxBatch) || len(got.Channels) != n*boolInt(err == nil) {
				t.Errorf("%s: %d channels: error %v, %d were read", codec.name, n, err, len(got.Channels))
			}
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Protobuf messages that are made to be dear cost no more than their bytes.
func TestHostileProtobuf(t *testing.T) {
	head := AppendProtobuf(nil, &Message{Type: "a"})
	repeat := func(p []byte, n int) []byte { return append(bytes.Clone(head), bytes.Repeat(p, n)...) }
	for name, p := range map[string][]byte{
		"a million empty subscriptions": repeat([]byte{pbChannels<<3 | 2, 0}, 1e6),
		"a million subscriptions":       repeat([]byte{pbChannels<<3 | 2, 3, 10, 1, 'c'}, 1e6),
		"a million groups":              repeat([]byte{16<<3&0x7F | 0x83, 1}, 1e6),
		"a million positions":           repeat([]byte{pbSince<<3 | 2, 0}, 1e6),
		"a million unknown fields":      repeat([]byte{0xa0, 6, 1}, 1e6),
		"JSON of 10^6 arrays":           protowire.AppendBytes(append(bytes.Clone(head), pbPayload<<3|2), bytes.Repeat([]byte{'['}, 1e6)),
		"a length of 4 GB":              append(bytes.Clone(head), pbPayload<<3|2, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F),
	} {
		var m Message
		var err error
		allocated, _, took := measure(func() { err = DecodeProtobuf(p, &m) })
		t.Logf("%s: %d bytes in %v: %v, %d bytes allocated", name, len(p), took, err, allocated)
		if err == nil && name != "a million unknown fields" {
			t.Errorf("%s was accepted", name)
		}
		if allocated > 512<<10 {
			t.Errorf("%s: %d bytes allocated", name, allocated)
		}
	}
}

// A payload under Protobuf is the same JSON as under JSON.
func TestProtobufPayloadIsJSON(t *testing.T) {
	for _, s := range jsonTexts {
		if s == "" {
			continue // no payload
		}
		p := AppendProtobuf(nil, &Message{Type: "a", Data: []byte(s)})
		var m Message
		if err := DecodeProtobuf(p, &m); (err == nil) != (ValidJSON([]byte(s)) == nil) {
			t.Errorf("%q: %v", s, err)
		} else if err == nil && !json.Valid(AppendJSON(nil, &m)) {
			t.Errorf("%q makes a message that is no JSON", s)
		}
	}
}
