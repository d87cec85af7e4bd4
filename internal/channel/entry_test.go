package channel

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"

	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

func unsafeData(s string) *byte { return unsafe.StringData(s) }

// payload takes a frame apart.
func payload(t *testing.T, frame []byte) (wsframe.Header, []byte) {
	t.Helper()
	h, n, err := wsframe.ParseHeader(frame)
	if err != nil || n == 0 || h.Masked || !h.Fin || int64(len(frame)-n) != h.Length {
		t.Fatalf("header %+v of %d bytes, error %v", h, n, err)
	}
	return h, frame[n:]
}

func TestEntryForms(t *testing.T) {
	long := append(append([]byte{'"'}, bytes.Repeat([]byte("abcdefgh"), 100)...), '"')
	for name, data := range map[string][]byte{"short": []byte(`{"a":1}`), "long": long, "none": nil} {
		t.Run(name, func(t *testing.T) {
			m := protocol.Message{Type: "e", Channel: "c", Key: "k", From: "ann \"x\"", Offset: 9, Prev: 4, Kept: true, Time: 5, Data: data}
			e := NewEntry(&m, false)
			for form := range FormLine {
				h, p := payload(t, e.Frame(form))
				if h.RSV1 {
					var in wsframe.Inflater
					var err error
					if p, err = in.Inflate(nil, p, 1<<20); err != nil {
						t.Fatal(err)
					}
				}
				if compressed := form == FormTextDeflate || form == FormProtobufDeflate; h.RSV1 != (compressed && name == "long") {
					t.Errorf("form %d: compressed %v", form, h.RSV1)
				}
				text := form == FormText || form == FormTextDeflate
				if (h.Op == wsframe.Text) != text {
					t.Errorf("form %d: opcode %v", form, h.Op)
				}
				var got protocol.Message
				var err error
				if text {
					err = protocol.DecodeJSON(p, &got)
				} else {
					err = protocol.DecodeProtobuf(p, &got)
				}
				if err != nil {
					t.Fatal(err)
				}
				if got.Type != m.Type || got.Channel != m.Channel || got.Key != m.Key || got.From != m.From || got.Offset != 9 || got.Prev != 4 || !bytes.Equal(got.Data, m.Data) {
					t.Errorf("form %d: %+v", form, got)
				}
				if first, again := e.Frame(form), e.Frame(form); &first[0] != &again[0] {
					t.Errorf("form %d is made twice", form)
				}
			}
		})
	}
}

// TestEntryLine: one line, whatever is in the payload, and the same message.
func TestEntryLine(t *testing.T) {
	for _, m := range []protocol.Message{
		{Type: "e", Channel: "c", Data: []byte(`{"a":1}`)},
		{Type: "e", Channel: "c", Data: []byte("{\n\t\"a\":\r\n1,\r\"b\":\"\\r\\n\"}")},
		{Type: "e", Channel: "c", Data: []byte("[1,\n2]")},
		{Type: "e", Channel: "c", Data: []byte("[1,\r2]")},
		{Type: "e", Channel: "c", Data: []byte{0, '\n', '\r', 255}, Binary: true},
		{Type: "e", Channel: "c", Data: []byte{}, Binary: true},
	} {
		e := NewEntry(&m, false)
		line := e.Line()
		if bytes.ContainsAny(line, "\r\n") {
			t.Errorf("%q", line)
		}
		if again := e.Line(); &line[0] != &again[0] {
			t.Errorf("%q is made twice", line)
		}
		if own := &line[0] == &e.JSON()[0]; own != (!m.Binary && !bytes.ContainsAny(m.Data, "\r\n")) {
			t.Errorf("%q is the entry's own text: %v", line, own)
		}
		want := line
		if !m.Binary {
			want = e.JSON()
		}
		if text := e.AppendText([]byte("x")); string(text) != "x"+string(want) {
			t.Errorf("appended %q, want %q", text[1:], want)
		}
		var got protocol.Message
		if err := protocol.DecodeJSON(line, &got); err != nil || got.Binary != m.Binary || got.Type != m.Type {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
		if want := m.Data; m.Binary && !bytes.Equal(got.Data, want) || !m.Binary && !bytes.Equal(OneLine(bytes.Clone(want)), got.Data) {
			t.Errorf("%q became %q", m.Data, got.Data)
		}
	}
}

func TestEntryOfBytes(t *testing.T) {
	m := protocol.Message{Type: "e", Channel: "c", Data: bytes.Repeat([]byte{0, 255, '\n', 7}, 100), Binary: true}
	e := NewEntry(&m, false)
	if h, _ := payload(t, e.Frame(FormTextDeflate)); h.Op != wsframe.Binary || !h.RSV1 {
		t.Errorf("deflated: %+v", h)
	}
	h, p := payload(t, e.Frame(FormText))
	if h.Op != wsframe.Binary {
		t.Fatalf("opcode %v", h.Op)
	}
	var got protocol.Message
	if err := protocol.DecodeBinary(p, &got); err != nil || !got.Binary || !bytes.Equal(got.Data, m.Data) {
		t.Fatalf("%+v, %v", got, err)
	}
	_, p = payload(t, e.Frame(FormProtobuf))
	if err := protocol.DecodeProtobuf(p, &got); err != nil || !got.Binary || !bytes.Equal(got.Data, m.Data) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestEntryOwnsItsMemory(t *testing.T) {
	key, data := []byte("truck-17"), []byte(`{"n":1}`)
	e := NewEntry(&protocol.Message{Type: "e", Channel: "c", Key: string(key), Data: data}, false)
	copy(data, "xxxxxxx")
	if !bytes.Contains(e.JSON(), []byte(`{"n":1}`)) || e.Key != "truck-17" {
		t.Fatalf("%s %s", e.JSON(), e.Key)
	}
}

func TestEntryAllocations(t *testing.T) {
	m := &protocol.Message{Type: "message", Channel: "chat:42", Key: "k", From: "ann", Offset: 12345, Prev: 12344, Kept: true, Time: 1790000000000, Data: []byte(`{"text":"hello"}`)}
	if n := testing.AllocsPerRun(1000, func() { NewEntry(m, false) }); n > 2 {
		t.Errorf("an entry takes %v allocations, want 2", n)
	}
	e := NewEntry(m, false)
	if n := testing.AllocsPerRun(1000, func() { e.Frame(FormText) }); n != 0 {
		t.Errorf("its frame takes %v allocations", n)
	}
}

func TestBatchAllocations(t *testing.T) {
	r := NewRing(&Declaration{Name: "c", Buffer: Buffer{Messages: 64, Bytes: 1 << 20}}, 0)
	for range 40 {
		r.Append(NewEntry(&protocol.Message{Type: "e", Channel: "c", Data: []byte(`{"n":1}`)}, false))
	}
	var b Batch
	deliver := func() {
		r.Fill(&b, Cursor{Seq: 8, Mark: 8}, 64<<10, false)
		for range 10 {
			_ = b.Bytes(FormText, b.From)
		}
		b.Release(1 << 20)
	}
	deliver()
	if n := testing.AllocsPerRun(200, deliver); n != 0 {
		t.Errorf("a batch takes %v allocations", n)
	}
}

// TestDeflatedIfItPays: what is too short, or gets no shorter, goes as it is.
func TestDeflatedIfItPays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for size := wsframe.DeflateMin - 2; size < wsframe.DeflateMin+60; size++ {
		for same := range 40 {
			p := bytes.Repeat([]byte("a"), size)
			for i := same; i < size; i++ {
				p[i] = byte(r.Uint32())
			}
			plain := wsframe.Finish(append(make([]byte, wsframe.Headroom), p...), wsframe.Text, false)
			frame := deflated(p, plain, wsframe.Text)
			pays := size >= wsframe.DeflateMin && len(wsframe.Deflate(nil, p)) < size
			if h, _ := payload(t, frame); h.RSV1 != pays || !pays && !bytes.Equal(frame, plain) {
				t.Fatalf("%d bytes, %d of them the same: compressed %v", size, same, h.RSV1)
			}
		}
	}
	if p := bytes.Repeat([]byte("a"), wsframe.DeflateMin); len(deflated(p, nil, wsframe.Text)) == 0 {
		t.Error("what is just long enough goes as it is")
	}
}

// TestMostForms: so many forms there may be, and no more.
func TestMostForms(t *testing.T) {
	before := len(dialects)
	defer func() {
		if recover() == nil || int(nativeForms)+len(dialects) != MostForms {
			t.Errorf("%d forms", int(nativeForms)+len(dialects))
		}
		dialects = dialects[:before]
	}()
	for range MostForms {
		RegisterForm(nil)
	}
}

// TestDialect: the frames of a registered form are made once and go the way of
// those of the native protocol.
func TestDialect(t *testing.T) {
	made := 0
	form := RegisterForm(func(e *Entry) []byte {
		made++
		return append([]byte("42"), e.JSON()...)
	})
	defer func() { dialects = dialects[:len(dialects)-1] }()
	if form < nativeForms {
		t.Fatalf("form %d is one of the native protocol", form)
	}
	r := NewRing(&Declaration{Buffer: Buffer{Messages: 8, Bytes: 1 << 20}}, 0)
	want := ""
	for _, data := range []string{"1", "2", "3"} {
		e := NewEntry(&protocol.Message{Type: "e", Channel: "c", Data: []byte(data)}, false)
		want += "42" + string(e.JSON())
		r.Append(e)
	}
	var a, b Batch
	for _, b := range []*Batch{&a, &b} {
		r.Fill(b, Cursor{}, 1<<20, false)
		if got := string(b.Bytes(form, Cursor{})); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if b.Bytes(FormText, Cursor{})[0] != 0x81 {
			t.Error("the native form is not beside it")
		}
	}
	if made != 3 {
		t.Errorf("three entries were encoded %d times", made)
	}
}
