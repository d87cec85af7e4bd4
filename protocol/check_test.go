package protocol

import (
	"bytes"
	"reflect"
	"testing"
)

// sameMessage compares two messages by what they say.
func sameMessage(a, b *Message) bool {
	if (a.Data == nil) != (b.Data == nil) || !bytes.Equal(a.Data, b.Data) {
		return false
	}
	x, y := *a, *b
	x.Data, y.Data = nil, nil
	return reflect.DeepEqual(&x, &y)
}

// checkDecode decodes anything at all and checks what must hold of the result:
// an *Error that may be told to a client, or a message that is within the limits
// and comes back the same when it is written and read, in every form.
func checkDecode(t *testing.T, decode func([]byte, *Message) error, write func([]byte, *Message) []byte, p []byte) {
	t.Helper()
	before := bytes.Clone(p)
	var m Message
	err := decode(p, &m)
	if !bytes.Equal(p, before) {
		t.Fatalf("%q: the frame was changed", before)
	}
	if err != nil {
		if e, ok := err.(*Error); !ok || e.Code != CodeBadRequest || e.Message == "" {
			t.Fatalf("%q: error %v", p, err)
		}
		return
	}
	checkLimits(t, p, &m)
	var back Message
	if err := decode(write(nil, &m), &back); err != nil || !sameMessage(&back, &m) {
		t.Fatalf("%q: written and read again it is\n%+v, error %v, and was\n%+v", p, back, err, m)
	}
	for _, other := range codecs {
		if other.name == "Binary" && !m.Binary {
			continue
		}
		wire := other.append(nil, &m)
		if err := other.decode(wire, &back); err != nil || !sameMessage(&back, &m) {
			t.Fatalf("%q: as %s it is\n%+v, error %v, and was\n%+v", p, other.name, back, err, m)
		}
	}
	if c := m.Clone(); !sameMessage(c, &m) {
		t.Fatalf("%q: the clone is %+v", p, c)
	}
}

func checkLimits(t *testing.T, p []byte, m *Message) {
	t.Helper()
	if ValidType(m.Type) != nil || len(m.Channel) > MaxChannel || len(m.ID) > MaxID || len(m.Key) > MaxKey ||
		len(m.Dedupe) > MaxDedupe || len(m.Exclude) > MaxConnection || len(m.Trace) > MaxTrace || len(m.From) > MaxUser || len(m.Epoch) > MaxEpoch || len(m.Token) > MaxToken ||
		m.Offset > MaxOffset || m.Time < 0 || m.Time > MaxOffset || len(m.Channels) > MaxBatch {
		t.Fatalf("%q: beyond a limit: %+v", p, m)
	}
	if m.Prev > 0 && m.Prev >= m.Offset {
		t.Fatalf("%q: prev %d, offset %d", p, m.Prev, m.Offset)
	}
	if m.Data != nil && !m.Binary && ValidJSON(m.Data) != nil || m.ID != nil && ValidJSON(m.ID) != nil {
		t.Fatalf("%q: not JSON: data %q, id %q", p, m.Data, m.ID)
	}
}
