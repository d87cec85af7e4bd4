package presence

import "ringdown/protocol"

// AppendChange appends the data of the message that tells of c. What somebody
// said who is gone is not repeated.
func AppendChange(dst []byte, c Change) []byte {
	dst = append(dst, `{"action":"`...)
	dst = append(dst, c.Action.String()...)
	dst = append(dst, `","member":`...)
	if c.Action == Leave {
		c.Member.Data = nil
	}
	return append(AppendMember(dst, c.Member), '}')
}

// AppendMember appends a member as JSON, as clients are told of it: its
// connection is none of their business.
func AppendMember(dst []byte, m Member) []byte {
	dst = append(dst, `{"id":`...)
	dst = protocol.AppendString(dst, m.ID)
	if m.User != "" {
		dst = append(dst, `,"user":`...)
		dst = protocol.AppendString(dst, m.User)
	}
	if len(m.Data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, m.Data...)
	}
	return append(dst, '}')
}
