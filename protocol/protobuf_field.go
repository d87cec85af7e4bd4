package protocol

import (
	"bytes"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// pbDecoder goes through the fields of one Protobuf message.
type pbDecoder struct {
	rest   []byte // what comes after the current field
	broken bool   // rest begins with something that is no field

	field protowire.Number
	wire  protowire.Type
	num   uint64 // value of a varint
	raw   []byte // value of bytes, strings and inner messages; aliases the frame

	seen  uint32 // bit per field number that has come; none of ours is above 31
	again bool   // the current field had come before
}

// next goes to the next field. It returns false at the end and at a fault.
func (d *pbDecoder) next() bool {
	if len(d.rest) == 0 {
		return false
	}
	field, wire, n := protowire.ConsumeTag(d.rest)
	if n < 0 || field > protowire.MaxValidNumber { // ConsumeTag lets 2^31-1 pass
		d.broken = true
		return false
	}
	value := d.rest[n:]
	switch wire {
	case protowire.VarintType:
		d.num, n = protowire.ConsumeVarint(value)
	case protowire.BytesType:
		d.raw, n = protowire.ConsumeBytes(value)
	case protowire.Fixed32Type:
		_, n = protowire.ConsumeFixed32(value)
	case protowire.Fixed64Type:
		_, n = protowire.ConsumeFixed64(value)
	default:
		n = -1 // groups, which nest, and what is no wire type
	}
	if n < 0 {
		d.broken = true
		return false
	}
	d.rest, d.field, d.wire = value[n:], field, wire
	d.again = false
	if field < 32 {
		d.again = d.seen&(1<<field) != 0
		d.seen |= 1 << field
	}
	return true
}

// is checks the wire type of the current field.
func (d *pbDecoder) is(name string, wire protowire.Type) *Error {
	if d.wire != wire {
		return Errorf(CodeBadRequest, "the field %s has wire type %d instead of %d", name, d.wire, wire)
	}
	return nil
}

// once checks that the current field, which is not a repeated one, has its wire
// type and comes for the first time.
func (d *pbDecoder) once(name string, wire protowire.Type) *Error {
	if d.again {
		return Errorf(CodeBadRequest, "the field %s for a second time", name)
	}
	return d.is(name, wire)
}

func (d *pbDecoder) bytes(name string) ([]byte, *Error) {
	if err := d.once(name, protowire.BytesType); err != nil {
		return nil, err
	}
	return d.raw, nil
}

func (d *pbDecoder) text(name string, most int) (string, *Error) {
	if err := d.once(name, protowire.BytesType); err != nil {
		return "", err
	}
	switch {
	case len(d.raw) > most:
		return "", Errorf(CodeBadRequest, "the field %s has %d bytes, the most is %d", name, len(d.raw), most)
	case !utf8.Valid(d.raw):
		return "", Errorf(CodeBadRequest, "the field %s is not valid UTF-8", name)
	}
	return view(d.raw), nil
}

func (d *pbDecoder) uint(name string) (uint64, *Error) {
	if err := d.once(name, protowire.VarintType); err != nil {
		return 0, err
	}
	return d.num, nil
}

func (d *pbDecoder) whole(name string) (uint64, *Error) {
	n, err := d.uint(name)
	if err == nil && n > MaxOffset {
		return 0, Errorf(CodeBadRequest, "the field %s must be less than 2^53", name)
	}
	return n, err
}

// id reads a field that holds a JSON token.
func (d *pbDecoder) id(name string) ([]byte, *Error) {
	p, err := d.bytes(name)
	if err != nil || len(p) == 0 {
		return nil, err
	}
	if len(p) <= MaxID && (ValidJSON(p) != nil || len(bytes.TrimSpace(p)) < len(p)) {
		return nil, Errorf(CodeBadRequest, "the field %s must be a JSON token, such as 7 or \"a\" with its quotes", name)
	}
	return idField(name, p)
}

func (d *pbDecoder) position(name string) (*Position, *Error) {
	if err := d.once(name, protowire.BytesType); err != nil {
		return nil, err
	}
	var p Position
	var err *Error
	in := pbDecoder{rest: d.raw}
	for in.next() && err == nil {
		switch in.field {
		case pbPositionEpoch:
			p.Epoch, err = in.text(name+".epoch", MaxEpoch)
		case pbPositionOffset:
			p.Offset, err = in.whole(name + ".offset")
		}
	}
	switch {
	case err != nil:
		return nil, err
	case in.broken:
		return nil, Errorf(CodeBadRequest, "the field %s is not a Position", name)
	case p.Epoch == "":
		return nil, Errorf(CodeBadRequest, "the field %s must have epoch and offset", name)
	}
	return &p, nil
}

func (d *pbDecoder) subscription(name string) (sub Subscription, err *Error) {
	if err := d.is(name, protowire.BytesType); err != nil {
		return sub, err
	}
	in := pbDecoder{rest: d.raw}
	for in.next() && err == nil {
		switch in.field {
		case pbSubscriptionChannel:
			// How long it is, is for ValidChannel, if it is there at all: see
			// channelsField.
			sub.Channel, err = in.text(name+"[].channel", len(in.raw))
		case pbSubscriptionSince:
			sub.Since, err = in.position(name + "[].since")
		case pbSubscriptionPayload:
			sub.Data, err = in.json(name + "[].payload")
		}
	}
	switch {
	case err != nil:
		return sub, err
	case in.broken:
		return sub, Errorf(CodeBadRequest, "an item of %s is not a Subscription", name)
	}
	return sub, nil
}

// json reads a field that holds a JSON value, nil when it is empty.
func (d *pbDecoder) json(name string) ([]byte, *Error) {
	p, err := d.bytes(name)
	if err != nil || len(p) == 0 {
		return nil, err
	}
	return p, jsonFault(name, p)
}

// jsonFault returns nil if p, which the field holds, is valid JSON.
func jsonFault(name string, p []byte) *Error {
	if err := ValidJSON(p); err != nil {
		return Errorf(CodeBadRequest, "in the field %s: %s", name, AsError(err).Message)
	}
	return nil
}
