package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"ringdown"
	"ringdown/client"
	"ringdown/protocol"
)

const secret = "a-secret-of-at-least-thirty-two-bytes!"

const declared = `
listen: 127.0.0.1:0
store: {memory: true}
auth:
  jwt: {secret: ` + secret + `, algorithm: HS256, leeway: 1s}
  anonymous: true
channels:
  - name: chat:{room}
    history: {messages: 100000, for: 1h}
    presence: true
    show_from: true
    allow: {subscribe: anyone, publish: anyone, presence: anyone}
  - name: trucks:{region}
    state: {for: 1h}
    allow: {subscribe: anyone, publish: anyone}
  - name: live:{name}
    allow: {subscribe: anyone, publish: anyone}
  - name: mine
    history: {messages: 100}
    allow: {subscribe: signed_in, publish: signed_in}
limits:
  connection: {messages_per_second: 100000, messages_burst: 100000}
`

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server in this program.
func serve(t *testing.T) (address string) {
	t.Helper()
	s, err := ringdown.New(ringdown.Options{Config: []byte(declared)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + s.Addr().String()
}

func token(t *testing.T, user string, life time.Duration) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": user, "exp": time.Now().Add(life).Unix()}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func open(t *testing.T, address string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(address, append([]client.Option{client.WithBackoff(20*time.Millisecond, time.Second)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// proxy is in front of a server and can be made worse.
type proxy struct {
	*httptest.Server
	blocked, buffers atomic.Bool
	mu               sync.Mutex
	lines            map[net.Conn]bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{lines: map[net.Conn]bool{}}
	back := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(r *http.Response) error {
			if p.buffers.Load() && strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
				_, err := io.Copy(io.Discard, r.Body)
				return err
			}
			return nil
		},
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.blocked.Load() && r.Header.Get("Upgrade") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		back.ServeHTTP(w, r)
	}))
	p.Listener = &tracking{p.Listener, p}
	p.Start()
	t.Cleanup(func() { p.cut(); p.Close() })
	return p
}

type tracking struct {
	net.Listener
	p *proxy
}

func (l *tracking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.p.mu.Lock()
		l.p.lines[c] = true
		l.p.mu.Unlock()
	}
	return c, err
}

// cut breaks every line that goes through.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.lines {
		_ = c.Close()
	}
	clear(p.lines)
}

// each runs a test over every transport, and over WebSocket in Protobuf.
func each(t *testing.T, test func(t *testing.T, address string, way ...client.Option)) {
	for name, way := range map[string][]client.Option{
		"websocket": {client.WithTransports("websocket")}, "protobuf": {client.WithProtobuf(), client.WithTransports("websocket")},
		"sse": {client.WithTransports("sse")}, "poll": {client.WithTransports("poll")},
	} {
		t.Run(name, func(t *testing.T) { test(t, serve(t), way...) })
	}
}

func number(t *testing.T, m *client.Message) (n int) {
	t.Helper()
	if err := m.Decode(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is published comes, with what was there before, and what is kept can be gone through.
func TestMessages(t *testing.T) {
	each(t, func(t *testing.T, address string, way ...client.Option) {
		ann := open(t, address, append(way, client.WithFixedToken(token(t, "ann", time.Hour)))...)
		bob := open(t, address, append(way, client.WithFixedToken(token(t, "bob", time.Hour)))...)
		to := bob.Channel("chat:1")
		if ack, err := to.Publish(t.Context(), "message", 0); err != nil || ack.Offset != 1 {
			t.Fatal(ack, err)
		}
		subscribed := make(chan bool, 1)
		s := ann.Channel("chat:1").Subscribe(client.Last(10), client.OnSubscribed(func(bool, string) { subscribed <- true }))
		defer s.Close()
		for n := range 3 {
			m, err := s.Next(t.Context())
			if err != nil || number(t, m) != n || m.From != "bob" || m.Offset != uint64(n+1) {
				t.Fatalf("%+v %v", m, err)
			}
			if n == 0 {
				<-subscribed
			}
			if n < 2 {
				if _, err := to.Publish(t.Context(), "message", n+1); err != nil {
					t.Fatal(err)
				}
			}
		}
		if ann.User() != "ann" {
			t.Errorf("it is %q", ann.User())
		}
		var past []int
		for m, err := range ann.Channel("chat:1").History(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			past = append(past, number(t, m))
		}
		if !slices.Equal(past, []int{2, 1, 0}) {
			t.Errorf("the past is %v", past)
		}
	})
}

// Bytes go and come as bytes.
func TestBytes(t *testing.T) {
	each(t, func(t *testing.T, address string, way ...client.Option) {
		c := open(t, address, way...)
		ready := make(chan bool, 1)
		s := c.Channel("live:camera").Subscribe(client.OnSubscribed(func(bool, string) { ready <- true }))
		defer s.Close()
		got := make(chan *client.Message, 1)
		go func() {
			m, err := s.Next(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- m
		}()
		<-ready
		want := client.Bytes{0, 10, 13, 255, 128}
		if _, err := c.Channel("live:camera").Publish(t.Context(), "frame", want); err != nil {
			t.Fatal(err)
		}
		if m := <-got; !m.Binary || string(m.Data) != string(want) || m.Decode(new(any)) == nil {
			t.Errorf("%+v", m)
		}
	})
}

// A state is there whole, and kept up to date.
func TestSharedState(t *testing.T) {
	each(t, func(t *testing.T, address string, way ...client.Option) {
		writer, reader := open(t, address, way...), open(t, address, way...)
		to := writer.Channel("trucks:eu")
		for n, key := range []string{"t1", "t2"} {
			if _, err := to.Publish(t.Context(), "position", n, client.Key(key)); err != nil {
				t.Fatal(err)
			}
		}
		state, err := reader.Channel("trucks:eu").State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer state.Close()
		var n int
		if ok, err := state.Get("t2", &n); !ok || err != nil || n != 1 || state.Len() != 2 {
			t.Errorf("%v %v %d of %d", ok, err, n, state.Len())
		}
		if _, err := to.Publish(t.Context(), "position", nil, client.Key("t1")); err != nil {
			t.Fatal(err)
		}
		for state.Len() != 1 {
			<-state.Changed()
		}
	})
}

// Members come and go.
func TestMembers(t *testing.T) {
	each(t, func(t *testing.T, address string, way ...client.Option) {
		ann := open(t, address, append(way, client.WithFixedToken(token(t, "ann", time.Hour)))...)
		bob := open(t, address, append(way, client.WithFixedToken(token(t, "bob", time.Hour)))...)
		seen := make(chan string, 100)
		ctx, cancel := context.WithCancel(t.Context())
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			for members, err := range ann.Channel("chat:1").WatchMembers(ctx) {
				if err != nil {
					return
				}
				var users []string
				for _, m := range members {
					users = append(users, m.User+string(m.Data))
				}
				slices.Sort(users)
				seen <- strings.Join(users, ",")
			}
		}()
		for n, c := range []*client.Client{ann, bob} {
			if err := c.Channel("chat:1").Enter(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		await(t, seen, "ann0,bob1")
		if err := bob.Channel("chat:1").Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, seen, "ann0")
		if list, err := bob.Channel("chat:1").Members(t.Context()); err != nil || len(list) != 1 || list[0].User != "ann" {
			t.Error(list, err)
		}
		cancel()
		<-watching
	})
}

func await(t *testing.T, seen <-chan string, want string) {
	t.Helper()
	late := time.After(15 * time.Second)
	for {
		select {
		case got := <-seen:
			if got == want {
				return
			}
		case <-late:
			t.Fatalf("%s was not seen", want)
		}
	}
}

// Refusals have a code, a rule and a page, and errors.Is finds them.
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, address string, way ...client.Option) {
		c := open(t, address, way...)
		_, err := c.Channel("mine").Publish(t.Context(), "e", 1)
		var e *client.Error
		if !errors.Is(err, client.ErrForbidden) || !errors.As(err, &e) || e.Rule != "mine.allow.publish" || e.Href() != "/v1/errors/forbidden" || e.Retryable {
			t.Errorf("%+v", err)
		}
		if err := c.Call(t.Context(), "price", nil, nil); client.Code(err) != protocol.CodeNoBackend {
			t.Error(err)
		}
		for _, err := range c.Channel("mine").Messages(t.Context()) {
			if !errors.Is(err, client.ErrForbidden) {
				t.Error(err)
			}
		}
	})
}

// Lines that are cut lose and double nothing, and a token that ends every few seconds does not either.
func TestNothingIsLost(t *testing.T) {
	const messages = 300
	each(t, func(t *testing.T, address string, way ...client.Option) {
		p := newProxy(t, address)
		var asked atomic.Int64
		way = append(way, client.WithToken(func(context.Context, client.TokenReason) (string, error) {
			asked.Add(1)
			return token(t, "ann", 3*time.Second), nil
		}))
		reader, writer := open(t, p.URL, way...), open(t, p.URL, way...)
		ready := make(chan bool, 1)
		var once sync.Once
		gaps := make(chan client.Gap, 10)
		s := reader.Channel("chat:1").Subscribe(client.Buffer(50), client.OnGap(func(g client.Gap) { gaps <- g }),
			client.OnSubscribed(func(bool, string) { once.Do(func() { ready <- true }) }))
		defer s.Close()
		all := make(chan error, 1)
		go func() {
			for n := range messages {
				m, err := s.Next(t.Context())
				if err != nil || number(t, m) != n {
					all <- fmt.Errorf("%+v at %d: %w", m, n, err)
					return
				}
			}
			all <- nil
		}()
		<-ready
		for n := range messages {
			if n%60 == 30 {
				p.cut()
			}
			if _, err := writer.Channel("chat:1").Publish(t.Context(), "message", n); err != nil {
				t.Fatal(err)
			}
			if n%10 == 0 {
				time.Sleep(100 * time.Millisecond) // so that the token ends meanwhile
			}
		}
		if err := <-all; err != nil {
			t.Error(err)
		}
		if len(gaps) > 0 || asked.Load() < 6 {
			t.Errorf("%d gaps, and %d tokens", len(gaps), asked.Load())
		}
	})
}

// A WebSocket that is blocked, and a stream that is held back, are gone around.
func TestGoesAround(t *testing.T) {
	p := newProxy(t, serve(t))
	p.blocked.Store(true)
	ways := make(chan string, 10)
	c := open(t, p.URL, client.WithStateHandler(func(s client.StateChange) {
		if s.State == client.Live {
			ways <- s.Transport
		}
	}))
	if _, err := c.Channel("chat:1").Publish(t.Context(), "message", 1); err != nil {
		t.Fatal(err)
	}
	await(t, ways, "sse")
	p.blocked.Store(false)
	c.Wake()
	await(t, ways, "websocket")
	if _, err := c.Channel("chat:1").Publish(t.Context(), "message", 2); err != nil {
		t.Fatal(err)
	}
}

// Who reads slowly is given all that is kept, and holds up nobody.
func TestSlowReader(t *testing.T) {
	c := open(t, serve(t))
	ready := make(chan bool, 2)
	var both [2]*client.Subscription
	for i := range both {
		both[i] = c.Channel("chat:1").Subscribe(client.Buffer(10), client.OnSubscribed(func(bool, string) {
			select {
			case ready <- true:
			default:
			}
		}))
		defer both[i].Close()
	}
	done := make(chan error, 1)
	go func() { done <- inOrder(t, both[0], 200) }()
	<-ready
	for n := range 200 {
		if _, err := c.Channel("chat:1").Publish(t.Context(), "message", n); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := inOrder(t, both[1], 200); err != nil { // nobody has read from it until now
		t.Error(err)
	}
}

func inOrder(t *testing.T, s *client.Subscription, messages int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := range messages {
		m, err := s.Next(ctx)
		if err != nil || number(t, m) != n {
			return fmt.Errorf("%+v at %d: %w", m, n, err)
		}
	}
	return nil
}

// A thousand lines leave nothing behind: TestMain looks.
func TestThousandLines(t *testing.T) {
	address := serve(t)
	for range 1000 {
		c, err := client.New(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestThousandReturns: one client whose line is cut a thousand times, by each transport in
// turn, has no more goroutines and no more files at the end than with its first line, and
// has missed nothing.
func TestThousandReturns(t *testing.T) {
	each(t, func(t *testing.T, address string, way ...client.Option) {
		p := newProxy(t, address)
		live := make(chan bool, 1)
		c := open(t, p.URL, append(way, client.WithBackoff(time.Millisecond, time.Millisecond), client.WithStateHandler(func(s client.StateChange) {
			if s.State == client.Live && s.Previous != client.Probing {
				live <- true
			}
		}))...)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-live
		subscribed := make(chan bool, 1)
		var once sync.Once
		s := c.Channel("chat:1").Subscribe(client.OnSubscribed(func(bool, string) { once.Do(func() { close(subscribed) }) }))
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		first := make(chan *client.Message, 1)
		go func() { // which is what tells OnSubscribed
			m, err := s.Next(ctx)
			if err != nil {
				t.Error(err)
			}
			first <- m
		}()
		<-subscribed
		writer := open(t, address)
		if _, err := writer.Channel("chat:1").Publish(ctx, "message", 0); err != nil {
			t.Fatal(err)
		}
		<-first
		hear := func(n int) {
			t.Helper()
			if _, err := writer.Channel("chat:1").Publish(ctx, "message", n); err != nil {
				t.Fatal(err)
			}
			if m, err := s.Next(ctx); err != nil || number(t, m) != n {
				t.Fatalf("%+v at %d: %v", m, n, err)
			}
		}
		before, files := runtime.NumGoroutine(), descriptors(t)
		const returns = 250 // by each of four ways
		for n := 0; n < returns; {
			p.cut()
			select {
			case <-live:
			case <-time.After(50 * time.Millisecond):
				continue // between two polls nobody noticed
			}
			if n++; n%50 == 0 {
				hear(n)
			}
		}
		hear(returns + 1)
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+8 || descriptors(t) > files+8; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines and %d files, and %d and %d with the first line", runtime.NumGoroutine(), descriptors(t), before, files)
			}
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not everywhere are they listed
	}
	return len(list)
}

// What ends with the program's patience says whether it was sent.
func TestGivingUp(t *testing.T) {
	c := open(t, "http://127.0.0.1:1") // nobody is there
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Channel("chat:1").Publish(ctx, "message", 1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrUnknown) {
		t.Error(err)
	}
	if err := c.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := c.Channel("chat:1").Send("message", 1); !errors.Is(err, client.ErrUnavailable) {
		t.Error(err)
	}
	c.Close()
	if _, err := c.Channel("chat:1").Publish(t.Context(), "message", 1); !errors.Is(err, client.ErrClosed) {
		t.Error(err)
	}
	if _, err := client.New("nonsense"); err == nil {
		t.Error("nonsense is no address")
	}
}
