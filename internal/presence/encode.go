package presence

import "ringdown/protocol"

// AppendJSON appends m as a JSON object, Data and the data of the will to the byte
// as the member gave them: an encoder would write them anew, with other spaces and
// escapes.
func (m *Member) AppendJSON(dst []byte) []byte {
	dst = protocol.AppendString(append(dst, `{"id":`...), m.ID)
	if m.Connection != "" {
		dst = protocol.AppendString(append(dst, `,"connection":`...), m.Connection)
	}
	if m.User != "" {
		dst = protocol.AppendString(append(dst, `,"user":`...), m.User)
	}
	if len(m.Data) > 0 {
		dst = append(append(dst, `,"data":`...), m.Data...)
	}
	if m.Will != nil {
		dst = m.Will.appendJSON(append(dst, `,"will":`...))
	}
	return append(dst, '}')
}

func (w *Will) appendJSON(dst []byte) []byte {
	dst = protocol.AppendString(append(dst, `{"type":`...), w.Type)
	if w.Key != "" {
		dst = protocol.AppendString(append(dst, `,"key":`...), w.Key)
	}
	if len(w.Data) > 0 {
		dst = append(append(dst, `,"data":`...), w.Data...)
	}
	return append(dst, '}')
}

// AppendMember appends a member as clients are told of it: its connection and its
// will are none of their business.
func AppendMember(dst []byte, m Member) []byte {
	m.Connection, m.Will = "", nil
	return m.AppendJSON(dst)
}

// AppendChange appends the data of the message that tells of c. What a member that
// has left said of itself is not repeated.
func AppendChange(dst []byte, c Change) []byte {
	dst = append(append(dst, `{"action":"`...), c.Action.String()...)
	if c.Action == Leave {
		c.Member.Data = nil
	}
	return append(AppendMember(append(dst, `","member":`...), c.Member), '}')
}
