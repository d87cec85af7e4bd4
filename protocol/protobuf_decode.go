package protocol

// DecodeProtobuf reads one Envelope of ringdown.proto into m, which then aliases
// frame. It checks what DecodeJSON checks, a JSON payload included, and gives
// the same errors. It is stricter than Protobuf asks for: a field that is not
// repeated may come only once, with the wire type of its definition, and there
// are no groups. Unknown fields are ignored.
func DecodeProtobuf(frame []byte, m *Message) error {
	m.Reset()
	d := pbDecoder{rest: frame}
	var has uint
	var wrong *Error
	for d.next() {
		// As in JSON, a wrong field ends nothing. But here there can be a million of
		// them, so what comes after one is only looked at for whom to answer.
		if wrong != nil && (d.again || d.field != pbID && d.field != pbChannel) {
			continue
		}
		if err := m.setProtobuf(&d, &has); err != nil && wrong == nil {
			wrong = err
		}
	}
	if d.broken {
		m.Reset()
		return Errorf(CodeBadRequest, "not a Protobuf Envelope: fault at byte %d", len(frame)-len(d.rest))
	}
	if wrong == nil {
		wrong = m.checkPayload()
	}
	if wrong == nil {
		wrong = m.complete(has, false)
	}
	if wrong != nil {
		*m = Message{ID: m.ID, Channel: m.Channel}
		return wrong
	}
	return nil
}

func (m *Message) checkPayload() *Error {
	switch {
	case m.Binary && m.Data == nil:
		m.Data = []byte{}
	case !m.Binary && len(m.Data) == 0:
		m.Data = nil
	case !m.Binary:
		return jsonFault("payload", m.Data)
	}
	return nil
}

func (m *Message) setProtobuf(d *pbDecoder, has *uint) (err *Error) {
	switch d.field {
	case pbType:
		if m.Type, err = d.text("type", MaxType); err == nil {
			if e := ValidType(m.Type); e != nil {
				err = AsError(e)
			}
		}
	case pbChannel:
		m.Channel, err = d.text("channel", MaxChannel)
	case pbID:
		m.ID, err = d.id("id")
	case pbPayload:
		m.Data, err = d.bytes("payload")
	case pbBinary:
		var v uint64
		v, err = d.uint("binary")
		m.Binary = v != 0
	case pbKey:
		m.Key, err = d.text("key", MaxKey)
	case pbDedupe:
		m.Dedupe, err = d.text("dedupe", MaxDedupe)
	case pbExclude:
		m.Exclude, err = d.text("exclude", MaxConnection)
	case pbTrace:
		m.Trace, err = d.text("traceparent", MaxTrace)
	case pbOffset:
		m.Kept = true
		m.Offset, err = d.whole("offset")
	case pbPrev:
		*has |= hasPrev
		m.Prev, err = d.whole("prev")
	case pbTime:
		var ms uint64
		ms, err = d.whole("time")
		m.Time = int64(ms)
	case pbFrom:
		m.From, err = d.text("from", MaxUser)
	case pbEpoch:
		m.Epoch, err = d.text("epoch", MaxEpoch)
	case pbToken:
		m.Token, err = d.text("token", MaxToken)
	case pbSince:
		m.Since, err = d.position("since")
	case pbChannels:
		err = m.addProtobuf(d)
	}
	return err
}

func (m *Message) addProtobuf(d *pbDecoder) *Error {
	const name = "channels"
	if len(m.Channels) == MaxBatch {
		return Errorf(CodeBadRequest, "the field %s has more than %d items", name, MaxBatch)
	}
	sub, err := d.subscription(name)
	if err == nil {
		m.Channels = append(m.Channels, sub)
	}
	return err
}
