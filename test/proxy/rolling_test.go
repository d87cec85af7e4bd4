package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// The messages that are published meanwhile.
const first, total = 5000, 120

// rolling stops and starts one node after the other while messages are published
// (G02). Who follows comes back as an EventSource and a loop of requests do, to
// whichever node the proxy says, and is given every message once and in order.
func (p *proxy) rolling(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	followers := []*follower{{path: "/v1/sse", read: (*follower).events}, {path: "/v1/poll", read: (*follower).answer}}
	var begun, done sync.WaitGroup
	for _, f := range followers {
		f.p, f.token, f.want = p, p.token(t), first
		begun.Add(1)
		f.begun = sync.OnceFunc(begun.Done)
		done.Go(func() {
			defer f.begun()
			for f.failed == nil && f.want < first+total && ctx.Err() == nil {
				f.request(ctx)
			}
		})
	}
	begun.Wait()
	refused := 0
	for n := range total {
		refused += p.publish(first + n)
		if n%40 == 20 {
			node := p.nodes[n/40%2]
			node.stop()
			refused += p.publish(first + n) // again: it was stored, and the other node knows
			node.start()
		}
	}
	done.Wait()
	t.Logf("publishing was answered with an error %d times", refused)
	for _, f := range followers {
		if f.failed != nil || f.want != first+total {
			t.Errorf("%s: came to %d of %d: %v", f.path, f.want, first+total, f.failed)
		}
		if f.requests < 2 {
			t.Errorf("%s: %d requests: its node was stopped, and it had to come back", f.path, f.requests)
		}
	}
}

// follower follows orders and goes on where it was after each cut.
type follower struct {
	p        *proxy
	path     string
	read     func(f *follower, body io.Reader) error
	token    string
	at       string
	want     int // the next message
	requests int
	begun    func()
	failed   error // what must not be
}

// request makes one request and reads what comes of it. That a node is gone is
// no failure.
func (f *follower) request(ctx context.Context) {
	q := url.Values{"channel": {"orders"}, "token": {f.token}, "cursor": {f.at}, "wait": {"2"}}
	req, err := http.NewRequestWithContext(ctx, "GET", f.p.base+f.path+"?"+q.Encode(), nil)
	if err != nil {
		f.failed = err
		return
	}
	resp, err := f.p.web.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case 200:
		f.requests++
		_ = f.read(f, resp.Body) // a stream ends when its node does
	case 502, 503, 504:
		time.Sleep(50 * time.Millisecond) // as the proxy asks
	default:
		f.failed = fmt.Errorf("status %d", resp.StatusCode)
	}
}

// events reads a stream up to its end.
func (f *follower) events(body io.Reader) error {
	in, id := bufio.NewReader(body), ""
	for f.failed == nil && f.want < first+total {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			var m message
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				f.failed = err
			}
			// The line behind it ends the event, and comes in one piece with it or not at all.
			if _, err := in.ReadString('\n'); err != nil {
				return err
			}
			f.at = id
			f.take(m)
		}
	}
	return nil
}

// answer reads the answer of a poll.
func (f *follower) answer(body io.Reader) error {
	var a struct {
		Messages []message
		Cursor   string
	}
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		return err
	}
	f.at = a.Cursor
	for _, m := range a.Messages {
		f.take(m)
	}
	return nil
}

func (f *follower) take(m message) {
	switch {
	case m.Type == "subscribed":
		f.begun()
		if strings.Contains(string(m.Data), `"recovered":false`) {
			f.failed = fmt.Errorf("was told that it missed something: %s", m.Data)
		}
	case m.Type == "gap", m.Type == "error":
		f.failed = fmt.Errorf("was told %s %s", m.Type, m.Data)
	case m.Type == "e" && string(m.Data) != fmt.Sprint(f.want):
		f.failed = fmt.Errorf("message %s instead of %d", m.Data, f.want)
	case m.Type == "e":
		f.want++
	}
}
