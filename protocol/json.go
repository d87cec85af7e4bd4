package protocol

import (
	"bytes"
	"encoding/base64"
)

// DecodeJSON reads one JSON text into m, which then aliases frame. It checks the
// whole text: that it is JSON as ValidJSON has it, that the fields have their
// types and are within their limits of length, and that the type is valid. It
// does not judge names (that is for ValidChannel and its like, at the door that
// uses them) and looks into data only to check it. Unknown fields are ignored.
//
// Errors are bad_request *Errors. After one m holds the ID and the Channel, if
// the text is a JSON object that has them, so that an answer can carry them, and
// nothing else. A plain message is decoded without allocating.
func DecodeJSON(frame []byte, m *Message) error {
	s := scanner{src: frame}
	return s.message(m, false)
}

// DecodeBinary reads the form of a binary frame: a message as JSON without data,
// a newline, and then the payload as it is. The first newline of the frame ends
// the JSON, so there is none in it. Otherwise it is as DecodeJSON, and m.Data
// aliases frame as well; an empty payload is not nil.
func DecodeBinary(frame []byte, m *Message) error {
	head := bytes.IndexByte(frame, '\n')
	if head < 0 {
		m.Reset()
		return Errorf(CodeBadRequest, "a binary frame is a JSON head, a newline and the payload; this one has no newline")
	}
	s := scanner{src: frame[:head]}
	if err := s.message(m, true); err != nil {
		return err
	}
	m.Data, m.Binary = frame[head+1:], true
	return nil
}

// Which fields a message has that share a place in Message, or whose zero value
// is one that can be sent.
const (
	hasData = 1 << iota
	hasData64
	hasPrev
)

// message reads the whole text as a message.
func (s *scanner) message(m *Message, head bool) error {
	m.Reset()
	i := s.space(0)
	if i >= len(s.src) || s.src[i] != '{' {
		return noObject(s.src, i)
	}
	var has uint
	var wrong *Error // the first field that is not as it should be
	i, end := s.open(i)
	for !end && i >= 0 {
		var name string
		if name, i = s.name(i, 0); i < 0 {
			break
		}
		start := i
		if i = s.value(i, 0); i < 0 {
			break
		}
		// A wrong field ends nothing: the fields after it may say whom to answer.
		if err := m.set(name, s.src[start:i], &has); err != nil && wrong == nil {
			wrong = err
		}
		i, end = s.next(i, '}')
	}
	if i < 0 || s.whole(i) < 0 {
		m.Reset()
		return s.err()
	}
	switch {
	case wrong != nil:
	case m.Type == "":
		wrong = noType(s.src[s.space(0):])
	default:
		wrong = m.complete(has, head)
	}
	if wrong != nil {
		*m = Message{ID: m.ID, Channel: m.Channel}
		return wrong
	}
	return nil
}

// complete checks what concerns several fields.
func (m *Message) complete(has uint, head bool) *Error {
	switch {
	case m.Type == "":
		return Errorf(CodeBadRequest, "the field type is missing; an Envelope that subscribes has the type subscribe and a channel")
	case has&(hasData|hasData64) == hasData|hasData64:
		return Errorf(CodeBadRequest, "a message has either data or data64")
	case head && has&(hasData|hasData64) != 0:
		return Errorf(CodeBadRequest, "the head of a binary frame has no data: the payload comes after the newline")
	case has&hasPrev != 0 && m.Kept && m.Prev >= m.Offset && !Verb(m.Type):
		return Errorf(CodeBadRequest, "the field prev must be less than offset")
	}
	m.fillPrev(has&hasPrev != 0)
	return nil
}

// set takes the value of one field, which is valid JSON.
func (m *Message) set(name string, value []byte, has *uint) (err *Error) {
	switch name {
	case "type":
		if m.Type, err = stringField(name, value, 1, MaxType); err == nil {
			if e := ValidType(m.Type); e != nil {
				err = AsError(e)
			}
		}
	case "channel":
		m.Channel, err = stringField(name, value, 1, MaxChannel)
	case "data":
		*has |= hasData
		m.Data = value
	case "data64":
		*has |= hasData64
		m.Binary = true
		m.Data, err = base64Field(name, value)
	case "id":
		m.ID, err = idField(name, value)
	case "key":
		m.Key, err = stringField(name, value, 1, MaxKey)
	case "dedupe":
		m.Dedupe, err = stringField(name, value, 1, MaxDedupe)
	case "exclude":
		m.Exclude, err = stringField(name, value, 1, MaxConnection)
	case "traceparent":
		m.Trace, err = stringField(name, value, 1, MaxTrace)
	case "from":
		m.From, err = stringField(name, value, 1, MaxUser)
	case "epoch":
		m.Epoch, err = stringField(name, value, 1, MaxEpoch)
	case "token":
		m.Token, err = stringField(name, value, 0, MaxToken)
	case "offset":
		m.Kept = true
		m.Offset, err = wholeField(name, value)
	case "prev":
		*has |= hasPrev
		m.Prev, err = wholeField(name, value)
	case "time":
		var ms uint64
		ms, err = wholeField(name, value)
		m.Time = int64(ms)
	case "since":
		m.Since, err = sinceField(name, value)
	case "channels":
		m.Channels, err = channelsField(name, value)
	}
	return err
}

// kind names the JSON type of a valid value, as error messages want it.
func kind(value []byte) string {
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// text returns what a valid JSON string says. It aliases value unless that has
// escape sequences.
func text(value []byte) []byte {
	value = value[1 : len(value)-1]
	if bytes.IndexByte(value, '\\') < 0 {
		return value
	}
	return unescape(value)
}

// stringField reads a string of least to most bytes, escape sequences counted as
// what they mean.
func stringField(name string, value []byte, least, most int) (string, *Error) {
	if value[0] != '"' {
		return "", Errorf(CodeBadRequest, "the field %s must be a string, not %s", name, kind(value))
	}
	p := text(value)
	switch {
	case len(p) < least:
		return "", Errorf(CodeBadRequest, "the field %s may not be empty", name)
	case len(p) > most:
		return "", Errorf(CodeBadRequest, "the field %s has %d bytes, the most is %d", name, len(p), most)
	}
	return view(p), nil
}

// wholeField reads a whole number from 0 to MaxOffset, written in digits.
func wholeField(name string, value []byte) (uint64, *Error) {
	var n uint64
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, Errorf(CodeBadRequest, "the field %s must be a whole number in digits, not %s", name, notWhole(value))
		}
		if n = 10*n + uint64(c-'0'); n > MaxOffset {
			return 0, Errorf(CodeBadRequest, "the field %s must be less than 2^53", name)
		}
	}
	return n, nil
}

func notWhole(value []byte) string {
	if k := kind(value); k != "a number" {
		return k
	}
	return "negative, a fraction or with an exponent"
}

// idField reads a request number as the token that it is.
func idField(name string, value []byte) ([]byte, *Error) {
	if k := kind(value); k != "a string" && k != "a number" {
		return nil, Errorf(CodeBadRequest, "the field %s must be a string or a number, not %s", name, k)
	}
	if len(value) > MaxID {
		return nil, Errorf(CodeBadRequest, "the field %s has %d bytes, the most is %d", name, len(value), MaxID)
	}
	return value, nil
}

func base64Field(name string, value []byte) ([]byte, *Error) {
	if value[0] != '"' {
		return nil, Errorf(CodeBadRequest, "the field %s must be a string, not %s", name, kind(value))
	}
	p := text(value)
	out := make([]byte, base64.StdEncoding.DecodedLen(len(p)))
	n, err := base64.StdEncoding.Strict().Decode(out, p)
	// The decoder goes over line breaks. They would give one payload two texts.
	if err != nil || bytes.ContainsAny(p, "\r\n") {
		return nil, Errorf(CodeBadRequest, "the field %s must be base64 with the standard alphabet and padding", name)
	}
	return out[:n], nil
}
