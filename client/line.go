package client

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ringdown/protocol"
)

// opening is what a line is opened with.
type opening struct {
	url      string // http: or https:, without a slash at its end
	query    url.Values
	channels []protocol.Subscription // what a stream or a poll begins with

	mu    sync.Mutex
	token string
}

// bearer returns the token for the next request.
func (o *opening) bearer() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.token
}

// renew takes the token of a message that renews it, for the requests from now on.
func (o *opening) renew(m *protocol.Message) {
	if m.Type == protocol.TypeAuth {
		o.mu.Lock()
		o.token = m.Token
		o.mu.Unlock()
	}
}

// ending is how a line ended. With neither code nor status, it broke.
type ending struct {
	code       protocol.CloseCode
	status     int
	err        *Error // what the server said; without it, somebody in between may have answered
	retryAfter time.Duration
}

// events is who is told of a line. A message is the receiver's to keep. After ended, and
// after close, nothing more is told.
type events interface {
	opened()
	message(m *protocol.Message)
	heard() // something came that is no message
	ended(e ending)
}

// line is one line to the server. Its methods do not block. It is over when it is closed, or
// ctx, which it was opened with, is.
type line interface {
	send(m *protocol.Message)
	close()
}

// transport opens lines. What it starts it starts with work, and ends with ctx.
type transport interface {
	name() string
	open(ctx context.Context, work *sync.WaitGroup, o *opening, ev events) line
}

func transports(h *http.Client, protobuf bool) []transport {
	return []transport{&webSocket{h, protobuf}, &stream{h}, &poll{h}}
}

// queue hands messages from who may not wait to the goroutine that sends them.
type queue struct {
	mu    sync.Mutex
	list  []*protocol.Message
	ready chan struct{} // holds one when there is something
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) put(m *protocol.Message) {
	q.mu.Lock()
	q.list = append(q.list, m)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for messages; nil when ctx is over.
func (q *queue) take(ctx context.Context) []*protocol.Message {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.ready:
		}
		q.mu.Lock()
		list := q.list
		q.list = nil
		q.mu.Unlock()
		if len(list) > 0 {
			return list
		}
	}
}
