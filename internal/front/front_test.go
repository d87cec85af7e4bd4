package front

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a front that listens on loopback.
type stage struct {
	*Front
	t   *testing.T
	log *lines
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func open(t *testing.T, p Policy, limits timeouts, h http.HandlerFunc) *stage {
	t.Helper()
	s := &stage{t: t, log: &lines{}}
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	s.Front = New(Options{Policy: p, Descriptors: 1 << 16, Refusals: refusal.NewRecorder(logger)})
	s.limits = limits
	if err := s.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.Serve(s.Handler(h), logger)
	t.Cleanup(func() {
		if _, err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if n := s.Unread(); n != 0 {
			t.Errorf("%d bytes are still counted as unread", n)
		}
		if n, _ := s.Open(); n != 0 || len(s.hosts) != 0 {
			t.Errorf("%d sockets and %d hosts are left", n, len(s.hosts))
		}
	})
	return s
}

func ok(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }

// client is one connection.
type client struct {
	net.Conn
	r *bufio.Reader
	t *testing.T
}

func (s *stage) dial() *client {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{c, bufio.NewReader(c), s.t}
}

// ask makes a request with more header lines, and returns the status and the body;
// 0: the line was closed.
func (c *client) ask(header ...string) (int, string) {
	c.t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Join(append(header, ""), "\r\n")+"\r\n"); err != nil {
		return 0, err.Error()
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	return resp.StatusCode, string(body)
}

func (s *stage) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("still not: %s\n%s", what, s.log)
		}
	}
}

// idle waits until so many connections wait for their next request.
func (s *stage) idle(n int) {
	s.t.Helper()
	s.until("idle", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		have := 0
		for c := range s.speaking {
			if http.ConnState(c.state.Load()) == http.StateIdle {
				have++
			}
		}
		return have == n
	})
}

// TestRoom: when there is room for no more, the one that has waited the longest
// goes first; one that is being answered never goes.
func TestRoom(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	s := open(t, Policy{Sockets: 3}, defaultTimeouts, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Wait") != "" {
			entered <- struct{}{}
			<-release
		}
		ok(w, r)
	})
	busy := s.dial()
	answered := make(chan int, 1)
	go func() { status, _ := busy.ask("Wait: yes"); answered <- status }()
	<-entered
	old := s.dial()
	old.ask()
	s.idle(1)
	young := s.dial()
	young.ask()
	s.idle(2)
	if status, body := s.dial().ask(); status != 200 {
		t.Fatalf("a newcomer got %d %s", status, body)
	}
	if status, _ := old.ask(); status != 0 {
		t.Errorf("the oldest is still there: %d", status)
	}
	if status, _ := young.ask(); status != 200 {
		t.Errorf("the younger was closed: %d", status)
	}
	close(release)
	if status := <-answered; status != 200 {
		t.Errorf("the one that was being answered got %d", status)
	}
	if s.metrics.MadeRoom.Load() == 0 || !strings.Contains(s.log.String(), "reason=room") {
		t.Errorf("not said: %s", s.log)
	}
}

// TestIdle: a connection waits for its next request for as long as is set, and by
// default longer than the usual proxies do.
func TestIdle(t *testing.T) {
	if d := New(Options{}).policy.Load().Idle; d < 75*time.Second {
		t.Errorf("the default is %v", d)
	}
	s := open(t, Policy{Idle: 100 * time.Millisecond}, defaultTimeouts, ok)
	c := s.dial()
	if status, _ := c.ask(); status != 200 {
		t.Fatal(status)
	}
	begun := time.Now()
	if _, err := c.r.ReadByte(); err != io.EOF || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}

// TestFull: when nobody can be spared, a newcomer is told so.
func TestFull(t *testing.T) {
	for limit, p := range map[string]Policy{
		"limits.node.sockets":          {Sockets: 2},
		"limits.node.http_connections": {HTTP: 2},
		"limits.address.connections":   {PerAddress: 2},
	} {
		release, entered := make(chan struct{}), make(chan struct{}, 10)
		s := open(t, p, defaultTimeouts, func(w http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			<-release
		})
		var wg sync.WaitGroup
		for range 2 {
			c := s.dial()
			wg.Go(func() { c.ask() })
			<-entered
		}
		want := map[bool]int{true: 429, false: 503}[limit == "limits.address.connections"]
		if status, body := s.dial().ask(); status != want || !strings.Contains(body, "limits.") {
			t.Errorf("%s: %d %s", limit, status, body)
		}
		if !strings.Contains(s.log.String(), "limit="+limit+" ") || !strings.Contains(s.log.String(), "address=127.0.0.1") {
			t.Errorf("%s is not in the log: %s", limit, s.log)
		}
		close(release)
		wg.Wait()
	}
}

// TestStalled: who takes nothing of an answer is hung up on, and who is slow is
// not.
func TestStalled(t *testing.T) {
	limits := defaultTimeouts
	limits.step = 200 * time.Millisecond
	ended := make(chan error, 2)
	s := open(t, Policy{}, limits, func(w http.ResponseWriter, r *http.Request) {
		_, err := w.Write(make([]byte, 8<<20))
		ended <- err
	})
	stopped, slow := s.dial(), s.dial()
	for _, c := range []*client{stopped, slow} {
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	read := make(chan int64, 1)
	go func() {
		total, buf := int64(0), make([]byte, 256<<10)
		for total < 8<<20 {
			n, err := slow.Read(buf)
			total += int64(n)
			if err != nil {
				break
			}
			time.Sleep(5 * time.Millisecond) // that is what a slow client does
		}
		read <- total
	}()
	errs := []error{<-ended, <-ended}
	if n := <-read; n < 8<<20 {
		t.Errorf("the slow one was given %d bytes", n)
	}
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("ended with %v", errs)
	}
	if s.metrics.Stalled.Load() != 1 || !strings.Contains(s.log.String(), "reason=slow_reader") {
		t.Errorf("not said: %s", s.log)
	}
}

// TestUnread: over the bytes that may wait for their clients, those are given up
// who take nothing. Until that can be told the newcomer is, but for what is small.
func TestUnread(t *testing.T) {
	for name, patience := range map[string]time.Duration{"taking nothing": 0, "perhaps slow": time.Minute} {
		t.Run(name, func(t *testing.T) {
			limits := defaultTimeouts
			limits.spare = patience
			s := open(t, Policy{Unread: 10 << 20}, limits, func(w http.ResponseWriter, r *http.Request) {
				size := 8 << 20
				if r.Header.Get("Small") != "" {
					size = stepSize
				}
				_, _ = w.Write(make([]byte, size))
			})
			ask := func(c *client) {
				_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			length := func(c *client) int64 {
				n, _ := io.Copy(io.Discard, c)
				return n
			}
			first := s.dial()
			ask(first)
			s.until("the answer is being written", func() bool { return s.Unread() > 7<<20 })
			time.Sleep(10 * time.Millisecond)
			second := s.dial()
			if _, err := io.WriteString(second, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			whole := length(second) > 8<<20
			if status, body := s.dial().ask("Small: yes", "Connection: close"); status != 200 || len(body) != stepSize {
				t.Errorf("what is small: %d, %d bytes", status, len(body))
			}
			if patience > 0 {
				_ = first.SetReadDeadline(time.Now().Add(time.Second))
			}
			cut := length(first) < 8<<20
			if given := patience == 0; whole != given || cut != given {
				t.Errorf("the second has all: %v; the first was given up: %v", whole, cut)
			}
			if !strings.Contains(s.log.String(), "limit=limits.node.unread_answers") {
				t.Errorf("not said: %s", s.log)
			}
		})
	}
}

// TestUnfinishedHeader: a request that does not come to its end is cut off and
// said, a connection on which nothing was asked yet just ends.
func TestUnfinishedHeader(t *testing.T) {
	limits := defaultTimeouts
	limits.header = 50 * time.Millisecond
	s := open(t, Policy{}, limits, ok)
	silent, half := s.dial(), s.dial()
	if _, err := io.WriteString(half, "GET / HT"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{silent, half} {
		if said, err := io.ReadAll(c.r); err != nil {
			t.Errorf("%q %v", said, err)
		}
	}
	if s.metrics.Stalled.Load() != 1 || strings.Count(s.log.String(), "reason=slow_request") != 1 {
		t.Errorf("not said once: %s", s.log)
	}
}

// TestUnreadBodies: a request that is answered without a look at its body is
// answered at once, also when the client waits to be told to go on, and nothing
// that it still sends takes the answer away.
func TestUnreadBodies(t *testing.T) {
	s := open(t, Policy{}, defaultTimeouts, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for name, text := range map[string]string{
		"waits":  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
		"sends":  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 600<<10),
		"chunks": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n80000\r\n" + strings.Repeat("x", 0x80000) + "\r\n1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			c := s.dial()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusTeapot || time.Since(begun) > 3*time.Second {
				t.Errorf("%s after %v", resp.Status, time.Since(begun))
			}
			if name != "sends" {
				return // the rest may still come
			}
			if _, err := c.r.ReadByte(); err != io.EOF {
				t.Errorf("the end is no end of the stream: %v", err)
			}
		})
	}
}

// TestStop: who waits is hung up on at once, who is being answered has some time,
// and only who does not end is cut off.
func TestStop(t *testing.T) {
	limits := defaultTimeouts
	limits.stop = 300 * time.Millisecond
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	s := open(t, Policy{}, limits, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		<-release
		ok(w, r)
	})
	for _, text := range []string{"", "GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"} {
		if _, err := io.WriteString(s.dial(), text); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan int, 1)
	good := s.dial()
	go func() { status, _ := good.ask(); answered <- status }()
	<-entered
	<-entered
	s.until("all have come", func() bool { _, n := s.Open(); return n == 4 })
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	cut, err := s.Stop(t.Context())
	if err != nil || cut != 1 {
		t.Errorf("%d cut off, %v", cut, err)
	}
	if status := <-answered; status != 200 {
		t.Errorf("the good one got %d", status)
	}
}

// TestTakenPlaces: a socket that an event loop drives is counted until the loop has
// closed it, and so is the client that a proxy made it for.
func TestTakenPlaces(t *testing.T) {
	for _, engine := range []string{"", "std"} {
		e, err := reactor.New(reactor.Options{Engine: engine, Loops: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		trusted, err := ParseTrusted([]string{"127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, Policy{Trusted: trusted, PerAddress: 2}, defaultTimeouts, func(w http.ResponseWriter, r *http.Request) {
			nc, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if err := e.Add(nc, nil, func(c *reactor.Conn) reactor.Handler { c.Send([]byte("HTTP/1.1 200 \r\n\r\n")); return quiet{} }); err != nil {
				t.Error(err)
			}
		})
		upgrade := func(c *client) string {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
			line, _ := c.r.ReadString('\n')
			return line
		}
		conns := []*client{s.dial(), s.dial()}
		for _, c := range conns {
			if line := upgrade(c); !strings.Contains(line, "200") {
				t.Fatal(line)
			}
		}
		if n, speakHTTP := s.Open(); n != 2 || speakHTTP != 0 {
			t.Errorf("%d sockets, %d of them speak HTTP", n, speakHTTP)
		}
		if line := upgrade(s.dial()); !strings.Contains(line, "429") {
			t.Errorf("a third of the same client: %s", line)
		}
		conns[0].Close()
		s.until("one less", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			at := s.hosts[host{netip.MustParseAddr("203.0.113.7")}]
			return at != nil && at.open == 1
		})
		if line := upgrade(s.dial()); !strings.Contains(line, "200") {
			t.Errorf("in place of the one that left: %s", line)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		s.until("none is left", func() bool { _, n := s.Open(); return n <= 1 })
	}
}

type quiet struct{}

func (quiet) Data(*reactor.Conn, []byte)  {}
func (quiet) Drained(*reactor.Conn)       {}
func (quiet) Closed(*reactor.Conn, error) {}

// TestHandshakes: each address has its own, an IPv6 line is one, and a proxy that
// is known has none to spend.
func TestHandshakes(t *testing.T) {
	trusted, err := ParseTrusted([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	f := New(Options{Policy: Policy{HandshakesPerAddress: 5, Trusted: trusted}})
	p := f.policy.Load()
	spend := func(a string) (let int) {
		for range 20 {
			if e := f.handshake(p.host(netip.MustParseAddr(a))); e == nil {
				let++
			} else if e.Limit != "limits.address.handshakes_per_second" || e.RetryAfter <= 0 || !e.Retryable {
				t.Errorf("%+v", e)
			}
		}
		return let
	}
	for _, c := range []struct {
		address string
		most    int
	}{{"192.0.2.1", 10}, {"192.0.2.2", 10}, {"2001:db8:0:1::1", 10}, {"2001:db8:0:1:ffff::2", 0}, {"2001:db8:0:2::1", 10}, {"10.1.2.3", 20}} {
		if n := spend(c.address); n < c.most || n > c.most+1 {
			t.Errorf("%s: %d let in, want %d", c.address, n, c.most)
		}
	}
	// With no limit of its own, what is near has none.
	f.SetPolicy(Policy{})
	for range 2000 {
		if e := f.handshake(host{netip.MustParseAddr("192.168.1.1")}); e != nil {
			t.Fatal(e)
		}
	}
	ctx := context.WithValue(t.Context(), hostKey{}, host{netip.MustParseAddr("198.51.100.1")})
	var last error
	for range 2000 {
		last = f.Handshake(ctx)
	}
	if protocol.AsError(last) == nil {
		t.Error("2000 at once of one address")
	}
}

// TestForgotten: addresses that hold nothing cost nothing.
func TestForgotten(t *testing.T) {
	f := New(Options{Policy: Policy{HandshakesPerAddress: 1_000_000}})
	for i := range 100_000 {
		a := netip.AddrFrom4([4]byte{9, byte(i >> 16), byte(i >> 8), byte(i)})
		if e := f.handshake(host{a}); e != nil {
			t.Fatal(e)
		}
	}
	if n := len(f.hosts); n > 20_000 {
		t.Errorf("%d hosts are remembered", n)
	}
}

// TestManyAsk: the requests of an address are counted by its /64, come back with
// time, and cost nothing once they have.
func TestManyAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Policy: Policy{RequestsPerAddress: 10, RequestsBurst: 5}})
		p := f.policy.Load()
		spend := func(a string) (let int) {
			for range 20 {
				if f.request(p.host(netip.MustParseAddr(a)), p) == nil {
					let++
				}
			}
			return let
		}
		for _, c := range []struct {
			address string
			let     int
		}{{"192.0.2.1", 5}, {"::ffff:192.0.2.1", 0}, {"2001:db8::1", 5}, {"2001:db8::ffff:1", 0}, {"2001:db8:0:1::1", 5}} {
			if n := spend(c.address); n != c.let {
				t.Errorf("%s: %d let in, want %d", c.address, n, c.let)
			}
		}
		time.Sleep(200 * time.Millisecond)
		if n := spend("192.0.2.1"); n != 2 {
			t.Errorf("after two tenths of a second: %d let in", n)
		}
		for i := range 100_000 {
			if f.request(host{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, p) != nil {
				t.Fatal("a newcomer is refused")
			}
			if i%1000 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		if n := len(f.hosts); n > 20_000 {
			t.Errorf("%d hosts are remembered", n)
		}
	})
}

func TestReserve(t *testing.T) {
	for files, want := range map[int]int{64: 32, 256: 128, 1024: 128, 65536: 4096, 1 << 20: 4096, 20_000: 2000} {
		if got := Reserve(files); got != want {
			t.Errorf("of %d: %d, want %d", files, got, want)
		}
	}
	f := New(Options{Policy: Policy{Sockets: 1 << 20}, Descriptors: 1024})
	if f.Limit() != 896 || f.Streams() != 840 {
		t.Errorf("%d sockets, %d streams", f.Limit(), f.Streams())
	}
}

// TestPagesAreTold: a page may read why its connection was refused, and for how long.
func TestPagesAreTold(t *testing.T) {
	e := protocol.Errorf(protocol.CodeRateLimited, "too many")
	e.RetryAfter = 5 * time.Second
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer(e))), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	h := resp.Header
	if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Expose-Headers") != "Retry-After" || h.Get("Retry-After") != "5" {
		t.Errorf("%v", h)
	}
}
