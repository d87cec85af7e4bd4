package channel

import (
	"bytes"
	"slices"
	"sync/atomic"

	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// Form is a wire form of an entry: what a subscriber's connection speaks.
type Form uint8

// The wire forms of the native protocol. Text forms carry JSON (and the
// binary-frame form for payloads that are bytes); the Deflate ones are for
// connections that negotiated permessage-deflate. FormLine is for what is no
// WebSocket: see Entry.Line. Other dialects register theirs.
const (
	FormText Form = iota
	FormTextDeflate
	FormProtobuf
	FormProtobufDeflate
	FormLine
	nativeForms
)

// MostForms is how many forms there may be, with those of the native protocol.
const MostForms = 32

// dialects are the encoders that were registered, in order of their forms.
var dialects []func(e *Entry) []byte

// RegisterForm adds a wire form for a dialect: encode makes the complete frame of
// an entry, once for all of its subscribers, on any goroutine; what it returns is
// not changed any more. It is to be called before the program serves, from one
// goroutine, such as in the initialization of a package.
func RegisterForm(encode func(e *Entry) []byte) Form {
	f := int(nativeForms) + len(dialects)
	if f >= MostForms {
		panic("channel: too many wire forms")
	}
	dialects = append(dialects, encode)
	return Form(f)
}

// Entry is one accepted message of a channel. It is immutable and shared: the
// broker's history, the ring and every subscriber use the same bytes. Safe for
// concurrent use.
type Entry struct {
	Offset    uint64 // 0: not kept
	Prev      uint64 // offset of the kept message before it
	Time      int64  // Unix milliseconds
	Key       string // state channels; aliases the entry's own memory
	Ephemeral bool
	Deleted   bool // it has a key, and its data is null: the key is gone

	binary bool
	body   int                                     // where in frame the message begins (after the frame header)
	frame  []byte                                  // the FormText frame, header included
	other  [nativeForms - 1]atomic.Pointer[[]byte] // of the native forms, but for FormText
	// Of dialects, which few channels are read in: one slot for each that is registered.
	foreign atomic.Pointer[[]atomic.Pointer[[]byte]]
}

// NewEntry makes the entry of m, whose Offset, Prev, Time and From are already
// set. It copies what it keeps of m in one allocation, beside that of the Entry.
func NewEntry(m *protocol.Message, ephemeral bool) *Entry {
	e := &Entry{Offset: m.Offset, Prev: m.Prev, Time: m.Time, Ephemeral: ephemeral, binary: m.Binary,
		Deleted: m.Key != "" && !m.Binary && string(m.Data) == "null"}
	// Escapes in From are the only thing that can grow past this estimate.
	size := wsframe.Headroom + 160 + len(m.Type) + len(m.Channel) + 2*len(m.Key) + len(m.From) + len(m.Data)
	buf := make([]byte, wsframe.Headroom, size)
	op := wsframe.Text
	if m.Binary {
		op = wsframe.Binary
		buf = protocol.AppendBinary(buf, m)
	} else {
		buf = protocol.AppendJSON(buf, m)
	}
	message := len(buf)
	if m.Key != "" {
		// The key stands behind the frame, so that it costs no allocation of its own.
		buf = append(buf, m.Key...)
		e.Key = view(buf[message:])
	}
	e.frame = wsframe.Finish(buf[:message:message], op, false)
	e.body = len(e.frame) - (message - wsframe.Headroom)
	return e
}

// Size returns the bytes of memory that the entry's text form takes, roughly
// what the entry costs.
func (e *Entry) Size() int { return cap(e.frame) + entryOverhead }

const entryOverhead = 128

// JSON returns the message as JSON text, or for a payload of bytes the JSON
// head, a newline and the bytes. Not to be changed.
func (e *Entry) JSON() []byte { return e.frame[e.body:] }

// Binary reports whether the payload is bytes and not JSON.
func (e *Entry) Binary() bool { return e.binary }

// Message decodes the entry into m, which then aliases the entry.
func (e *Entry) Message(m *protocol.Message) error {
	if e.binary {
		return protocol.DecodeBinary(e.JSON(), m)
	}
	return protocol.DecodeJSON(e.JSON(), m)
}

// Line returns the message as JSON text on one line, a payload of bytes in data64:
// for transports that carry text only and end it with a line break. Not to be
// changed.
func (e *Entry) Line() []byte {
	if !e.binary && bytes.IndexByte(e.JSON(), '\n') < 0 && bytes.IndexByte(e.JSON(), '\r') < 0 {
		return e.JSON()
	}
	return e.Frame(FormLine)
}

// AppendText appends the message as JSON text, a payload of bytes in data64.
func (e *Entry) AppendText(dst []byte) []byte {
	if e.binary {
		return append(dst, e.Line()...)
	}
	return append(dst, e.JSON()...)
}

func (e *Entry) line() []byte {
	var m protocol.Message
	if err := e.Message(&m); err != nil {
		panic("channel: an entry does not decode: " + err.Error())
	}
	return OneLine(protocol.AppendJSON(nil, &m))
}

// OneLine puts a space in place of each line break of a JSON text, in its own
// memory, and returns it. They can only stand between the tokens.
func OneLine(text []byte) []byte {
	for i, c := range text {
		if c == '\n' || c == '\r' {
			text[i] = ' '
		}
	}
	return text
}

// Frame returns the complete frame of the entry in the given form (for FormLine
// the text of Line), made at the first need and then shared. Not to be changed.
func (e *Entry) Frame(f Form) []byte {
	if f == FormText {
		return e.frame
	}
	slot := e.slot(f)
	if p := slot.Load(); p != nil {
		return *p
	}
	made := e.make(f)
	// Two loops may have made it at the same moment; one of them wins, so that
	// all subscribers share one copy.
	if !slot.CompareAndSwap(nil, &made) {
		return *slot.Load()
	}
	return made
}

// slot is where the frame in a form is kept, once it was made.
func (e *Entry) slot(f Form) *atomic.Pointer[[]byte] {
	if f < nativeForms {
		return &e.other[f-1]
	}
	slots := e.foreign.Load()
	if slots == nil {
		made := make([]atomic.Pointer[[]byte], len(dialects))
		if slots = &made; !e.foreign.CompareAndSwap(nil, slots) {
			slots = e.foreign.Load()
		}
	}
	return &(*slots)[f-nativeForms]
}

func (e *Entry) make(f Form) []byte {
	switch f {
	case FormLine:
		return e.line()
	case FormTextDeflate:
		return deflated(e.JSON(), e.frame, e.opcode())
	case FormProtobuf:
		var m protocol.Message
		if err := e.Message(&m); err != nil {
			panic("channel: an entry does not decode: " + err.Error())
		}
		buf := make([]byte, wsframe.Headroom, wsframe.Headroom+64+len(e.frame))
		return wsframe.Finish(protocol.AppendProtobuf(buf, &m), wsframe.Binary, false)
	case FormProtobufDeflate:
		plain := e.Frame(FormProtobuf)
		h, n, err := wsframe.ParseHeader(plain)
		if err != nil || int64(len(plain)-n) != h.Length {
			panic("channel: a frame of our own does not parse")
		}
		return deflated(plain[n:], plain, wsframe.Binary)
	}
	return dialects[f-nativeForms](e)
}

func (e *Entry) opcode() wsframe.Opcode {
	if e.binary {
		return wsframe.Binary
	}
	return wsframe.Text
}

// deflated returns the compressed frame of payload, or plain when the payload
// is too small or compressing does not pay: RSV1 is decided message by message.
func deflated(payload, plain []byte, op wsframe.Opcode) []byte {
	if len(payload) < wsframe.DeflateMin {
		return plain
	}
	buf := wsframe.Deflate(make([]byte, wsframe.Headroom, wsframe.Headroom+len(payload)/2), payload)
	if len(buf)-wsframe.Headroom >= len(payload) {
		return plain
	}
	return slices.Clip(wsframe.Finish(buf, op, true))
}
