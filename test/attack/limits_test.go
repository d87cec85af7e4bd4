package attack

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLimits (D01): each limit at n-1, n and n+1.
func TestLimits(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		s := serve(t, engine, true, `
limits: {connection: {max_message: 2KiB, subscriptions: 5, messages_per_second: 20, messages_burst: 40, bad_messages: 3}}
`)
		message := func(size int) string {
			head := `{"type":"e","channel":"live","id":1,"data":"`
			return head + strings.Repeat("x", size-len(head)-2) + `"}`
		}
		for _, size := range []int{2047, 2048} {
			w := s.dial(t, "", false)
			w.message()
			w.send(message(size))
			if m := w.message(); m.Type != "ack" {
				t.Errorf("%d bytes: %s", size, m.Data)
			}
		}
		w := s.dial(t, "", false)
		w.send(message(2049))
		if code, _ := w.closed(5 * time.Second); code != 1009 {
			t.Errorf("2049 bytes: closed with %d", code)
		}

		w = s.dial(t, "", false)
		w.message()
		for n := range 6 {
			w.send(fmt.Sprintf(`{"type":"subscribe","channel":"room:%d"}`, n))
			m := w.message()
			if want := map[bool]string{true: "", false: "limit_exceeded"}[n < 5]; errorCode(m) != want {
				t.Errorf("subscription %d: %s %s", n+1, m.Type, m.Data)
			}
		}

		w = s.dial(t, "", false)
		w.message()
		for range 4 {
			w.send(`{"type"`)
		}
		code, last := w.closed(5 * time.Second)
		if code != 4000 || errorCode(last) != "bad_request" {
			t.Errorf("4 bad messages: closed with %d after %s", code, last.Data)
		}

		w = s.dial(t, "", false)
		w.message()
		for range 200 {
			if w.trySend(`{"type":"ping"}`) != nil {
				break
			}
		}
		if code, last := w.closed(5 * time.Second); code != 4100 || errorCode(last) != "rate_limited" {
			t.Errorf("200 messages at once: closed with %d after %s", code, last.Data)
		}
	})
}

// TestLengths: the fields of a message at n and n+1, at every verb that takes
// them.
func TestLengths(t *testing.T) {
	s := serve(t, "epoll", true, generous)
	w := s.dial(t, "", false)
	w.message()
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct{ message, want string }{
		{`{"type":"` + x(64) + `","channel":"live","id":1}`, ""},
		{`{"type":"` + x(65) + `","channel":"live"}`, "bad_request"},
		{`{"type":"e","channel":"room:` + x(195) + `","id":1}`, ""},
		{`{"type":"e","channel":"room:` + x(196) + `"}`, "bad_request"},
		{`{"type":"subscribe","channel":"room:` + x(195) + `","id":1}`, ""},
		{`{"type":"subscribe","channel":"room:` + x(196) + `"}`, "bad_request"},
		{`{"type":"e","channel":"kept","id":1,"dedupe":"` + x(64) + `"}`, ""},
		{`{"type":"e","channel":"kept","dedupe":"` + x(65) + `"}`, "bad_request"},
		{`{"type":"e","channel":"board","id":1,"key":"` + x(200) + `"}`, ""},
		{`{"type":"e","channel":"board","key":"` + x(201) + `"}`, "bad_request"},
		{`{"type":"ping","id":"` + x(62) + `"}`, ""},
		{`{"type":"ping","id":"` + x(63) + `"}`, "bad_request"},
		{`{"type":"e","channel":"live","id":1,"data":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, ""},
		{`{"type":"e","channel":"live","data":` + strings.Repeat("[", 66) + strings.Repeat("]", 66) + `}`, "bad_request"},
		{`{"type":"e","channel":"live","data":{"a":1,"a":2}}`, "bad_request"},
	} {
		w = s.dial(t, "", false)
		w.message()
		w.send(c.message)
		m, err := w.tryMessage(10 * time.Second)
		if err != nil {
			t.Errorf("%.60s… (%d bytes): %v, want %q", c.message, len(c.message), err, c.want)
			continue
		}
		if errorCode(m) != c.want {
			t.Errorf("%.60s… (%d bytes): %s %s, want %q", c.message, len(c.message), m.Type, m.Data, c.want)
		}
		w.conn.Close()
	}
}

// TestNames (B08): no door lets a bad name in.
func TestNames(t *testing.T) {
	s := serve(t, "epoll", true, generous)
	w := s.dial(t, "", false)
	w.message()
	for _, name := range []string{`a\u0000b`, `a\r\nb`, `a b`, `*`, `>`, `a*`, `a#`, `a+`, `\u00e9`, `e\u0301`, `a\tb`, `%2e`, `a?b`, `a{b}`, `a'b`, strings.Repeat("a", 60_000)} {
		for _, verb := range []string{"subscribe", "unsubscribe", "e", "presence", "history"} {
			w = s.dial(t, "", false)
			w.message()
			w.send(`{"type":"` + verb + `","channel":"` + name + `"}`)
			if m := w.message(); m.Type != "error" {
				t.Errorf("%s %.20q: %s", verb, name, m.Type)
			}
			w.conn.Close()
		}
	}
	for _, verb := range []string{"subscribe", "e"} {
		w = s.dial(t, "", false)
		w.message()
		w.send(`{"type":"` + verb + `","channel":"$sys"}`)
		if m := w.message(); errorCode(m) != "forbidden" {
			t.Errorf("%s $sys: %s", verb, m.Data)
		}
	}
}

// TestSubscribeFlood (D05): a connection that asks for a hundred thousand
// channels gets its limit, and costs no more than that; many subscriptions on
// many connections cost little each.
func TestSubscribeFlood(t *testing.T) {
	s := serve(t, "epoll", true, generous)
	w := s.dial(t, "", false)
	w.message()
	before := s.rss()
	const asked = 100_000
	refused := 0
	done := make(chan error, 1)
	go func() {
		for n := 0; n < asked; n += 500 {
			var names []string
			for i := range 500 {
				names = append(names, fmt.Sprintf(`"room:%d"`, n+i))
			}
			if err := w.trySend(`{"type":"subscribe","channels":[` + strings.Join(names, ",") + `]}`); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for n := 0; n < asked; n++ {
		if errorCode(w.message()) == "limit_exceeded" {
			refused++
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if refused != asked-128 {
		t.Errorf("%d of %d refused", refused, asked)
	}
	if grown := s.rss() - before; grown > 16<<20 {
		t.Errorf("the server grew by %d KiB", grown>>10)
	}

	conns := 100
	if long() {
		conns = 10_000
	}
	before = s.rss()
	var all []*wire
	for range conns {
		c := s.dial(t, "", false)
		var names []string
		for i := range 128 {
			names = append(names, fmt.Sprintf(`"room:%d"`, i))
		}
		c.send(`{"type":"subscribe","channels":[` + strings.Join(names, ",") + `]}`)
		all = append(all, c)
	}
	for _, c := range all {
		for n := 0; n < 129; n++ {
			if m := c.message(); m.Type == "error" {
				t.Fatalf("%s", m.Data)
			}
		}
	}
	each := (s.rss() - before) / int64(conns*128)
	t.Logf("%d subscriptions: %d bytes each, with their connections", conns*128, each)
	if long() && each > 200 {
		t.Errorf("%d bytes for each subscription", each)
	}
}

// TestSilentConnection (C04): who says nothing is closed after five seconds.
func TestSilentConnection(t *testing.T) {
	s := serve(t, "epoll", false, "")
	w := s.dial(t, "", false)
	begun := time.Now()
	code, last := w.closed(10 * time.Second)
	if code != 4002 || errorCode(last) != "unauthorized" {
		t.Errorf("closed with %d after %s", code, last.Data)
	}
	if d := time.Since(begun); d < 4500*time.Millisecond || d > 5500*time.Millisecond {
		t.Errorf("closed after %v", d)
	}
}

// TestExpiryOnTheLine (C07): a token that ends during the connection ends it,
// unless it is refreshed.
func TestExpiryOnTheLine(t *testing.T) {
	s := serve(t, "epoll", false, "")
	short := token(t, "ann", 2*time.Second)
	w, kept := s.dial(t, "?token="+short, false), s.dial(t, "?token="+short, false)
	kept.message()
	kept.send(`{"type":"auth","id":1,"token":"` + token(t, "ann", time.Hour) + `"}`)
	if m := kept.message(); m.Type != "ack" {
		t.Fatalf("%s %s", m.Type, m.Data)
	}
	begun := time.Now()
	if code, _ := w.closed(10 * time.Second); code != 4004 {
		t.Errorf("closed with %d", code)
	}
	if d := time.Since(begun); d > 4*time.Second {
		t.Errorf("closed after %v", d)
	}
	kept.send(`{"type":"ping","id":2}`)
	if m := kept.message(); m.Type != "pong" {
		t.Errorf("%s", m.Type)
	}
}

// TestCanary (C02): a secret that came in any way is in nothing that goes out.
func TestCanary(t *testing.T) {
	s := serve(t, "epoll", false, "")
	const canary = "canary-7f3a9c"
	jwt := "eyJhbGciOiJIUzI1NiJ9." + canary + ".sig"
	var seen strings.Builder
	for _, c := range []struct {
		query  string
		header string
	}{
		{"?token=" + jwt, "X-A: b"},
		{"?token=" + canary, "X-A: b"},
		{"", "Authorization: Bearer " + jwt},
		{"", "Sec-WebSocket-Protocol: ringdown.v1.json, bearer." + jwt},
		{"?ticket=" + canary, "Cookie: session=" + canary},
	} {
		w := s.dial(t, c.query, false, c.header)
		w.send(`{"type":"auth","token":"` + jwt + `"}`)
		for {
			m, err := w.tryMessage(10 * time.Second)
			if err != nil {
				fmt.Fprintln(&seen, err)
				break
			}
			seen.Write(m.Data)
		}
	}
	for _, path := range []string{"/v1/channels/live/messages?token=" + canary, "/nowhere?token=" + canary, "/v1/connections?token=" + canary} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req, err := http.NewRequest(method, "http://"+s.addr+path, strings.NewReader(`{"type":"e","data":"x"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+jwt)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			fmt.Fprintln(&seen, resp.Header)
			seen.Write(body)
		}
	}
	seen.WriteString(s.get("/metrics"))
	seen.WriteString(s.log.String())
	if strings.Contains(seen.String(), canary) {
		at := strings.Index(seen.String(), canary)
		t.Errorf("the secret is in what the server said: …%s…", seen.String()[max(0, at-200):min(seen.Len(), at+100)])
	}
}

// TestSlowHandshakes (D03): thousands of handshakes and bodies that never end
// are cut off in time, and those who behave do not notice.
func TestSlowHandshakes(t *testing.T) {
	slow, good := 1000, 50
	if long() {
		slow, good = 5000, 200
	}
	s := serve(t, "epoll", true, generous)
	measure := func() time.Duration {
		var late []time.Duration
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range good {
			wg.Go(func() {
				w, err := s.tryDial(t, "", false)
				if err != nil {
					t.Error(err)
					return
				}
				defer w.conn.Close()
				if _, err := w.tryMessage(10 * time.Second); err != nil {
					t.Error(err)
					return
				}
				for range 20 {
					begun := time.Now()
					if w.trySend(`{"type":"ping","id":1}`) != nil {
						t.Error("a good client's line ended")
						return
					}
					if m, err := w.tryMessage(10 * time.Second); err != nil || m.Type != "pong" {
						t.Error(m.Type, err)
						return
					}
					mu.Lock()
					late = append(late, time.Since(begun))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(late)
		if len(late) == 0 {
			t.Fatal("nobody was served")
		}
		return late[len(late)*99/100]
	}
	base := measure()
	fds := s.descriptors()
	var conns []net.Conn
	for n := range slow {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
		if n%2 == 0 {
			_, _ = io.WriteString(c, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: web")
		} else {
			_, _ = io.WriteString(c, "POST /v1/channels/live/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+apiKey+"\r\nContent-Length: 1000\r\n\r\n{")
		}
	}
	t.Logf("p99 of a good client's ping: %v alone, %v beside %d slow ones", base, measure(), slow)
	until(t, "the slow ones are cut off", 40*time.Second, func() bool { return s.descriptors() <= fds+5 })
	for _, c := range conns {
		c.Close()
	}
}

// TestHandlerPanicCostsOneConnection is in the session's own tests; here is that
// a frame of nonsense costs its sender only.
func TestGarbage(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		s := serve(t, engine, true, generous)
		good := s.dial(t, "", false)
		good.subscribe("kept")
		for first := range 256 {
			w, err := s.tryDial(t, "", false)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.conn.Write(append([]byte{byte(first), 0x7f}, make([]byte, 64)...))
			w.conn.Close()
		}
		good.send(`{"type":"e","channel":"kept","data":1}`)
		if m := good.message(); m.Type != "e" {
			t.Errorf("%s", m.Type)
		}
		until(t, "the others are gone", 10*time.Second, func() bool { return s.metric("ringdown_connections") == 1 })
	})
}
