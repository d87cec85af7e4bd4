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

	"github.com/coder/websocket"

	"ringdown/internal/auth"
)

type message struct {
	Type    string
	Channel string
	ID      any
	Offset  uint64
	Data    json.RawMessage
}

func (p *proxy) token(t *testing.T) string {
	t.Helper()
	text, err := auth.Sign(auth.JWT{Secret: []byte(secret)}, map[string]any{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// do makes a request, wants a status, and returns the body.
func (p *proxy) do(t *testing.T, method, path, credential, body string, want int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, text, err)
	}
	return text
}

// publish publishes n, once, however often a busy machine or a node that stops
// make it try. It returns how often it was refused.
func (p *proxy) publish(n int) (refused int) {
	body := fmt.Sprintf(`{"type":"e","data":%d,"dedupe":"%d"}`, n, n)
	for p.t.Context().Err() == nil {
		req, err := http.NewRequestWithContext(p.t.Context(), "POST", p.base+"/v1/channels/orders/messages", strings.NewReader(body))
		if err != nil {
			p.t.Error(err)
			return refused
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := p.web.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 201 {
				return refused
			}
			refused++
			time.Sleep(20 * time.Millisecond)
		}
	}
	return refused
}

// everything tries all transports. While the lines are idle for longer than the
// proxy's patience, the heartbeats keep them open.
func (p *proxy) everything() {
	ws, id := p.socket(), ""
	events := p.events(p.t, "")
	p.t.Cleanup(events.close)
	for range 2 { // welcome, subscribed
		m, _ := events.next(p.t)
		if m.Type == "welcome" {
			var d struct{ Connection string }
			_ = json.Unmarshal(m.Data, &d)
			id = d.Connection
		}
	}
	time.Sleep(2 * patience)
	p.publish(1)
	if m := ws(); string(m.Data) != "1" {
		p.t.Errorf("the WebSocket was given %+v", m)
	}
	at := ""
	var m message
	if m, at = events.next(p.t); string(m.Data) != "1" {
		p.t.Errorf("the stream was given %+v", m)
	}
	// Any node takes what is said on behalf of the stream.
	for n := range 4 {
		p.do(p.t, "POST", "/v1/connections/"+id+"/messages", p.token(p.t), fmt.Sprintf(`{"type":"ping","id":%d}`, n), 202)
		if m, _ := events.next(p.t); m.Type != "pong" || m.ID != float64(n) {
			p.t.Errorf("ping %d: %+v", n, m)
		}
	}
	p.t.Run("addresses", func(t *testing.T) { p.addresses(t) })
	p.t.Run("resume", func(t *testing.T) { p.resume(t, events, at) })
	p.t.Run("poll", func(t *testing.T) { p.polls(t) })
	p.t.Run("tickets", func(t *testing.T) { p.tickets(t) })
	p.t.Run("rolling", func(t *testing.T) { p.rolling(t) })
}

// addresses looks at whom the nodes take the clients for.
func (p *proxy) addresses(t *testing.T) {
	var page struct {
		Connections []struct {
			Transport string
			Addr      string `json:"remote_addr"`
		}
	}
	if err := json.Unmarshal(p.do(t, "GET", "/v1/connections", key, "", 200), &page); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range page.Connections {
		seen[c.Transport] = true
		if !strings.HasPrefix(c.Addr, client) {
			t.Errorf("a %s comes from %s", c.Transport, c.Addr)
		}
	}
	if !seen["websocket"] || !seen["sse"] {
		t.Errorf("listed: %+v", page)
	}
}

// resume cuts the stream again and again and goes on wherever the proxy says.
func (p *proxy) resume(t *testing.T, events *stream, at string) {
	const total = 200
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 2; n <= total; n++ {
			p.publish(n)
		}
	})
	defer wg.Wait()
	for want := 2; want <= total; {
		for range 7 {
			m, id := events.next(t)
			if m.Type != "e" {
				continue
			}
			if string(m.Data) != fmt.Sprint(want) {
				t.Fatalf("message %s instead of %d", m.Data, want)
			}
			want, at = want+1, id
			if want > total {
				break
			}
		}
		events.close()
		events = p.events(t, at)
	}
	events.close()
}

// polls follows by long-poll, each request on the next node.
func (p *proxy) polls(t *testing.T) {
	var a struct {
		Messages []message
		Cursor   string
	}
	const first, total = 1000, 100
	poll := func(query string) {
		a.Messages = nil
		text := p.do(t, "GET", "/v1/poll?channel=orders&"+query, p.token(t), "", 200)
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	poll("")
	if poll("wait=1&cursor=" + a.Cursor); len(a.Messages) != 0 {
		t.Errorf("nothing happened, and %+v", a)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range total {
			p.publish(first + n)
		}
	})
	defer wg.Wait()
	for want := first; want < first+total; {
		poll("wait=2&cursor=" + url.QueryEscape(a.Cursor))
		for _, m := range a.Messages {
			if string(m.Data) != fmt.Sprint(want) {
				t.Fatalf("message %s instead of %d", m.Data, want)
			}
			want++
		}
	}
}

// tickets are given out by one node and good on any, once.
func (p *proxy) tickets(t *testing.T) {
	for range 6 {
		var got struct{ Ticket string }
		if err := json.Unmarshal(p.do(t, "POST", "/v1/tickets", p.token(t), "", 201), &got); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{200, 401, 401} {
			resp, err := p.web.Get(p.base + "/v1/poll?channel=orders&ticket=" + got.Ticket)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Fatalf("a ticket: %d, want %d", resp.StatusCode, want)
			}
		}
	}
}

// socket follows orders over a WebSocket; the function returns the next event.
func (p *proxy) socket() (next func() message) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	// A WebSocket begins over HTTP/1.1.
	h1 := p.web.Transport.(*http.Transport).Clone()
	h1.ForceAttemptHTTP2, h1.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
	c, _, err := websocket.Dial(ctx, p.base+"/v1/ws?token="+p.token(p.t), &websocket.DialOptions{HTTPClient: &http.Client{Transport: h1}})
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	in := make(chan message, 1000)
	var wg sync.WaitGroup
	wg.Go(func() { // reads all the time: that is what answers pings
		defer close(in)
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				return
			}
			var m message
			if json.Unmarshal(text, &m) == nil && m.Type != "welcome" {
				in <- m
			}
		}
	})
	p.t.Cleanup(func() { cancel(); _ = c.CloseNow(); wg.Wait(); h1.CloseIdleConnections() })
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"subscribe","channel":"orders"}`)); err != nil {
		p.t.Fatal(err)
	}
	next = func() message {
		m, ok := <-in
		if !ok {
			p.t.Fatal("the WebSocket ended")
		}
		return m
	}
	if m := next(); m.Type != "subscribed" {
		p.t.Fatalf("%+v", m)
	}
	return next
}

// stream is one of Server-Sent Events.
type stream struct {
	in    *bufio.Reader
	close func()
}

func (p *proxy) events(t *testing.T, at string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, "GET", p.base+"/v1/sse?channel=orders&token="+p.token(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if at != "" {
		req.Header.Set("Last-Event-ID", at)
	}
	resp, err := p.web.Do(req)
	if err != nil || resp.StatusCode != 200 {
		cancel()
		t.Fatal(err, resp)
	}
	return &stream{bufio.NewReader(resp.Body), func() { cancel(); resp.Body.Close() }}
}

// next returns the next message and its id.
func (s *stream) next(t *testing.T) (m message, id string) {
	t.Helper()
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case field == "id":
			id = value
		case field == "data":
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				t.Fatal(err)
			}
		case line == "\n" && m.Type != "":
			return m, id
		}
	}
}
