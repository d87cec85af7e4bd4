package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ringdown/protocol"
)

const mostProblem = 64 << 10 // bytes of an answer that is no success

// readProblem reads what an answer that is no success says, and closes it.
func readProblem(resp *http.Response) ending {
	e := ending{status: resp.StatusCode}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.retryAfter = seconds(float64(s))
	}
	if resp.Body != nil {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, mostProblem)) // without it, it is not the server's word
		_ = resp.Body.Close()
		e.err, _ = readError(text, "")
	}
	return e
}

// request makes a request of a stream or a poll.
func request(ctx context.Context, h *http.Client, o *opening, method, path string, body []byte, header ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, o.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if token := o.bearer(); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return h.Do(r)
}

// item is a channel in the body of a stream or a poll.
type item struct {
	Channel string    `json:"channel"`
	Since   *position `json:"since,omitempty"`
	Last    int       `json:"last,omitempty"`
	Rate    float64   `json:"rate,omitempty"`
}

type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

func itemOf(s protocol.Subscription) item {
	i := item{Channel: s.Channel}
	if s.Since != nil {
		i.Since = &position{s.Since.Epoch, s.Since.Offset}
	}
	if s.Data != nil {
		_ = json.Unmarshal(s.Data, &i) // last and rate, which this package wrote
	}
	return i
}

// greeting is what a welcome says to a transport.
type greeting struct {
	Connection string `json:"connection"`
	Secret     string `json:"secret"`
	Session    string `json:"session"`
}

// uplink speaks for a stream or a poll: one message after the other, in their order.
type uplink struct {
	client  *http.Client
	opening *opening
	out     *queue
	greeted chan greeting // of one
}

func newUplink(h *http.Client, o *opening) *uplink {
	return &uplink{h, o, newQueue(), make(chan greeting, 1)}
}

func (u *uplink) send(m *protocol.Message) {
	u.opening.renew(m)
	u.out.put(m)
}

// run posts what is sent, from the welcome on, until ctx is over. end is called if the
// connection is no more.
func (u *uplink) run(ctx context.Context, ev events, end func(ending)) {
	var g greeting
	select {
	case <-ctx.Done():
		return
	case g = <-u.greeted:
	}
	for list := u.out.take(ctx); list != nil; list = u.out.take(ctx) {
		for _, m := range list {
			resp, err := request(ctx, u.client, u.opening, http.MethodPost, "/v1/connections/"+url.PathEscape(g.Connection)+"/messages", protocol.AppendJSON(nil, m), "Ringdown-Stream", g.Secret)
			if err != nil {
				end(ending{})
				return
			}
			if resp.StatusCode < 300 {
				_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, mostProblem)) // so that the connection is used again
				_ = resp.Body.Close()
				continue
			}
			e := readProblem(resp)
			switch {
			case e.err == nil || e.status == http.StatusNotFound:
				end(ending{})
				return
			case e.status == http.StatusUnauthorized:
				end(e) // the token is over, and so is the line; what is said here is said on the next
				return
			case m.ID == nil && m.Channel == "":
				ev.heard() // a ping of ours: somebody is there
				continue
			}
			e.err.RetryAfter = max(e.err.RetryAfter, e.retryAfter)
			ev.message(&protocol.Message{Type: protocol.TypeError, ID: m.ID, Channel: m.Channel, Data: e.err.data()})
		}
	}
}

// life makes sure that a line of requests ends once, and tells nothing then.
type life struct {
	ctx    context.Context
	cancel context.CancelFunc
	ev     events
	over   chan struct{} // of one: who ends it
}

func newLife(ctx context.Context, ev events) *life {
	ctx, cancel := context.WithCancel(ctx)
	return &life{ctx, cancel, ev, make(chan struct{}, 1)}
}

func (l *life) end(e ending) {
	select {
	case l.over <- struct{}{}:
	default:
		return
	}
	stopped := l.ctx.Err() != nil
	l.cancel()
	if !stopped {
		l.ev.ended(e)
	}
}

// take hands on a message of a stream or a poll, and reports false if it was the last.
func (l *life) take(m *protocol.Message) bool {
	if m.Type == protocol.TypeError {
		if err, code := readError(m.Data, ""); code != 0 {
			l.end(ending{code: code, err: err})
			return false
		}
	}
	l.ev.message(m)
	return l.ctx.Err() == nil
}

// readTimeout is how long an answer may take beyond what it waits for.
const readTimeout = 15 * time.Second
