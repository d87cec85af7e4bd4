package broker

import "ringdown/protocol"

// AppendJSON appends m as a JSON object, Data to the byte as the member gave it:
// an encoder would write it anew, with other spaces and escapes.
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
	return append(dst, '}')
}
