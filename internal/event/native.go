package event

import (
	"strconv"
	"sync"

	"ringdown/internal/channel"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// Native is an event as a message of the native protocol.
type Native struct {
	protocol.Message
	data []byte
}

var natives = sync.Pool{New: func() any { return new(Native) }}

// mostData is the largest buffer that is used again.
const mostData = 64 << 10

// Encode returns e as a message of the native protocol. Release gives its memory back.
func Encode(e Event) *Native {
	n := natives.Get().(*Native)
	n.Message = protocol.Message{}
	n.data = e.native(&n.Message, n.data[:0])
	if len(n.data) > 0 {
		n.Message.Data = n.data
	}
	return n
}

// Release ends the use of n and of all that it points to.
func (n *Native) Release() {
	if cap(n.data) <= mostData {
		natives.Put(n)
	}
}

func (e *Welcome) native(m *protocol.Message, d []byte) []byte {
	m.Type = protocol.TypeWelcome
	d = appendText(append(d, '{'), "connection", e.Connection)
	if e.User != "" {
		d = appendText(append(d, ','), "user", e.User)
	}
	d = appendNumber(append(d, ','), "protocol", protocol.Version)
	if e.Secret != "" {
		d = appendText(append(d, ','), "secret", e.Secret)
	}
	d = appendNumber(append(d, ','), "ping", e.Ping.Milliseconds())
	if !e.Expires.IsZero() {
		d = appendNumber(append(d, ','), "expires", e.Expires.UnixMilli())
	}
	d = appendNumber(append(d, ','), "dedupe_window", e.DedupeWindow.Milliseconds())
	d = appendNumber(append(d, ','), "max_message", int64(e.MaxMessage))
	d = appendText(append(d, ','), "server", e.Server)
	if e.Session != "" {
		d = appendText(append(d, ','), "session", e.Session)
	}
	return append(d, '}')
}

func (e *Subscribed) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel, m.ID = protocol.TypeSubscribed, e.Channel, e.ID
	if e.Kept {
		m.Epoch, m.Offset, m.Kept = e.Position.Epoch, e.Position.Offset, true
	}
	switch {
	case e.Asked && e.Lost != "":
		d = append(append(append(d, `{"recovered":false,"reason":"`...), e.Lost...), `"}`...)
	case e.Asked:
		d = append(strconv.AppendUint(append(d, `{"recovered":true,"head":`...), e.Head, 10), '}')
	case e.Barred:
		d = append(d, `{"history":"forbidden"}`...)
	}
	return d
}

func (e *Unsubscribed) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel, m.ID = protocol.TypeUnsubscribed, e.Channel, e.ID
	return d
}

func (e *Ack) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel, m.ID = protocol.TypeAck, e.Channel, e.ID
	if e.Position.Offset > 0 {
		// An ack's offset has no predecessor to speak of.
		m.Epoch, m.Offset, m.Prev, m.Kept = e.Position.Epoch, e.Position.Offset, e.Position.Offset-1, true
	}
	if !e.Expires.IsZero() {
		return append(appendNumber(append(d, '{'), "expires", e.Expires.UnixMilli()), '}')
	}
	return append(d, e.Result...)
}

func (e *Error) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel, m.ID = protocol.TypeError, e.Channel, e.ID
	d = protocol.AppendErrorData(d, e.Err)
	if e.Close != 0 {
		d = append(appendNumber(append(d[:len(d)-1], ','), "close", int64(e.Close)), '}')
	}
	return d
}

func (e *Gap) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel = protocol.TypeGap, e.Channel
	if e.Lost.Epoch {
		m.Epoch, m.Offset, m.Kept = e.Epoch, e.Lost.Origin, true
	}
	d = append(d, '{')
	if e.Lost.Missed > 0 {
		d = appendNumber(d, "missed", int64(e.Lost.Missed))
	} else {
		d = appendNumber(d, "from", int64(e.Lost.From))
		d = appendNumber(append(d, ','), "to", int64(e.Lost.To))
	}
	return append(appendText(append(d, ','), "reason", e.Reason), '}')
}

func (e *State) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel = protocol.TypeState, e.Channel
	return appendPage(append(d, `{"items":[`...), e.Entries, e.More)
}

func (e *History) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel, m.ID, m.Epoch = protocol.TypeHistory, e.Channel, e.ID, e.Epoch
	return appendPage(append(d, `{"messages":[`...), e.Entries, e.More)
}

func (e *Members) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.Channel, m.ID = protocol.TypePresence, e.Channel, e.ID
	d = append(d, `{"action":"members","members":[`...)
	for i, member := range e.Page.Members {
		if i > 0 {
			d = append(d, ',')
		}
		d = presence.AppendMember(d, member)
	}
	d = appendNumber(append(d, `],`...), "total", int64(e.Page.Total))
	if e.Page.More {
		d = append(d, `,"more":true`...)
	}
	return append(d, '}')
}

func (*Ping) native(m *protocol.Message, d []byte) []byte {
	m.Type = protocol.TypePing
	return d
}

func (e *Pong) native(m *protocol.Message, d []byte) []byte {
	m.Type, m.ID = protocol.TypePong, e.ID
	return append(appendNumber(append(d, '{'), "time", e.Time.UnixMilli()), '}')
}

func (e *Reconnect) native(m *protocol.Message, d []byte) []byte {
	m.Type = protocol.TypeReconnect
	d = appendNumber(append(d, '{'), "after", e.After.Milliseconds())
	return append(appendNumber(append(d, ','), "within", e.Within.Milliseconds()), '}')
}

func appendPage(d []byte, list []*channel.Entry, more bool) []byte {
	for i, e := range list {
		if i > 0 {
			d = append(d, ',')
		}
		d = e.AppendText(d)
	}
	return append(strconv.AppendBool(append(d, `],"more":`...), more), '}')
}

func appendText(d []byte, name, value string) []byte {
	return protocol.AppendString(append(append(append(d, '"'), name...), `":`...), value)
}

func appendNumber(d []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(append(append(d, '"'), name...), `":`...), n, 10)
}

// Closing is what a client is told at the end where there are no close frames.
// There is nothing to tell, and nil is returned, where it was told already or
// left by itself.
func Closing(code protocol.CloseCode, reason string) *Error {
	e := &protocol.Error{Code: protocol.CodeUnavailable, Message: reason, Retryable: code >= 4100 || code < 4000}
	switch code {
	case protocol.CloseDraining, protocol.CloseNormal, protocol.CloseGoingAway:
		return nil
	case protocol.CloseInvalidToken, protocol.CloseNoAuth, protocol.CloseTokenExpired:
		e.Code = protocol.CodeUnauthorized
	case protocol.CloseForbidden, protocol.CloseByOperator:
		e.Code = protocol.CodeForbidden
	case protocol.CloseRateLimited:
		e.Code = protocol.CodeRateLimited
	case protocol.CloseProtocol:
		e.Code = protocol.CodeBadRequest
	case protocol.CloseInternal:
		e.Code = protocol.CodeInternal
	}
	if e.Message == "" {
		e.Message = "the connection is closed"
	}
	return &Error{Err: e, Close: code}
}
