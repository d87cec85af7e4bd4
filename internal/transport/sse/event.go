package sse

import (
	"strconv"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// heartbeat is a comment. There is no empty line behind it: several clients end
// an event at each, and would be handed an empty one.
const heartbeat = ":\n"

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

// appendText appends the text of an event on one line.
func appendText(dst []byte, e event.Event) []byte {
	m := event.Encode(e)
	defer m.Release()
	n := len(dst)
	dst = protocol.AppendJSON(dst, &m.Message)
	channel.OneLine(dst[n:])
	return dst
}

// appendRetry begins an event with how long an EventSource is to wait before it
// comes back. It stands in an event for the reason that heartbeat names.
func appendRetry(dst []byte, d time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, d.Milliseconds(), 10)
	return append(dst, '\n')
}

// appendGoodbye is a whole stream for who is to come back later.
func appendGoodbye(dst []byte, after time.Duration) []byte {
	dst = appendRetry(dst, after)
	return appendData(dst, appendText(nil, &event.Reconnect{After: after, Within: 2 * after}))
}

// A chunk (RFC 9112 §7.1) is what one write of the stream is made of, so that a
// write that was cut short is a chunk that was cut short.
const (
	chunkRoom = "fffffff\r\n" // the longest head, for an event of any size
	lastChunk = "0\r\n\r\n"
)

// closeChunk makes a chunk of dst[at:], which has chunkRoom before its content.
func closeChunk(dst []byte, at int) []byte {
	content := dst[at+len(chunkRoom):]
	head := strconv.AppendInt(dst[:at], int64(len(content)), 16)
	head = append(head, "\r\n"...)
	return append(append(head, content...), "\r\n"...)
}
