package sse

import (
	"strconv"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// heartbeat is a comment. The empty line behind it keeps parsers in step that
// take a comment for the beginning of an event.
const heartbeat = ":\n\n"

// appendEvent appends an event: a message on one line, and where the peer stands
// once it has it. Without a position there is no id, and an EventSource keeps
// the one before.
func appendEvent(dst, line []byte, x *session.Session) []byte {
	const id = "id: "
	dst = append(dst, id...)
	n := len(dst)
	if x != nil {
		dst = x.AppendPosition(dst)
	}
	if len(dst) == n {
		dst = dst[:n-len(id)]
	} else {
		dst = append(dst, '\n')
	}
	return appendData(dst, line)
}

func appendData(dst, line []byte) []byte {
	dst = append(dst, "data: "...)
	dst = append(dst, line...)
	return append(dst, "\n\n"...)
}

// appendMessage appends the text of a message on one line.
func appendMessage(dst []byte, m *protocol.Message) []byte {
	n := len(dst)
	dst = protocol.AppendJSON(dst, m)
	channel.OneLine(dst[n:])
	return dst
}

// appendRetry tells an EventSource how long to wait before it comes back.
func appendRetry(dst []byte, d time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, d.Milliseconds(), 10)
	return append(dst, "\n\n"...)
}

// appendGoodbye is a whole stream for who is to come back later.
func appendGoodbye(dst []byte, after time.Duration) []byte {
	dst = appendRetry(dst, after)
	data := append([]byte(`{"after":`), strconv.FormatInt(after.Milliseconds(), 10)...)
	data = append(data, `,"within":`...)
	data = strconv.AppendInt(data, 2*after.Milliseconds(), 10)
	return appendData(dst, appendMessage(nil, &protocol.Message{Type: protocol.TypeReconnect, Data: append(data, '}')}))
}
