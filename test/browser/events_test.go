package browser

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"ringdown"
)

// followPage is a page with nothing but an EventSource. It writes down what it
// is given, and the ids.
const followPage = `<!doctype html><title>events</title><link rel="icon" href="data:,"><script>
var got = [], opened = 0, source = new EventSource('/v1/sse?channel=orders&channel=board')
source.onopen = () => opened++
source.onmessage = ({data}) => { const m = JSON.parse(data); if (m.type === 'n' || m.type === 'gap' || m.data && m.data.recovered === false) got.push(m.channel + m.data) }
</script>`

// TestEventSource: a native EventSource whose network is cut again and again, at
// any byte, comes back by itself and is given every message once.
func TestEventSource(t *testing.T) {
	t.Parallel()
	s := embedded(t, ringdown.Options{Config: []byte(`
listen: 127.0.0.1:0
origins: [self]
auth: {anonymous: true}
channels:
  - {name: orders, history: {messages: 10000}, allow: {subscribe: anyone}}
  - {name: board, history: {messages: 10000}, allow: {subscribe: anyone}}
`)})
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, followPage)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	wire := newWire(t, web.Listener.Addr().String())

	w := newWindow(t)
	w.open("http://" + wire.addr() + "/page")
	w.wait(`opened > 0`)
	const total = 60
	for n := 1; n <= total; n++ {
		for _, channel := range []string{"orders", "board"} {
			if _, err := s.Publish(t.Context(), channel, "n", n); err != nil {
				t.Fatal(err)
			}
		}
		switch n % 30 {
		case 5:
			wire.cut(rand.IntN(2000)) // before that many bytes more have come
		case 29:
			w.wait(fmt.Sprintf(`opened > %d`, n/30+1)) // it came back, while messages were published
		}
	}
	w.wait(fmt.Sprintf(`got.length >= %d`, 2*total))
	for _, channel := range []string{"orders", "board"} {
		var want []string
		for n := 1; n <= total; n++ {
			want = append(want, fmt.Sprint(channel, n))
		}
		if got := w.eval(`got.filter(m => m.startsWith('` + channel + `')).join()`); got != strings.Join(want, ",") {
			t.Errorf("%s: the page was given %s", channel, got)
		}
	}
}

// wire is a network that can be cut: it carries bytes to a server until it is
// told to stop.
type wire struct {
	net.Listener
	to string

	mu    sync.Mutex
	left  int // bytes until the next cut; -1: none is planned
	lines map[net.Conn]bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to, left: -1, lines: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cutNow()
		wg.Wait()
	})
	return w
}

func (w *wire) addr() string { return w.Listener.Addr().String() }

// cut ends every line once so many bytes more have come from the server; with -1
// no more is cut.
func (w *wire) cut(after int) {
	w.mu.Lock()
	w.left = after
	w.mu.Unlock()
}

func (w *wire) cutNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.lines {
		c.Close()
	}
	clear(w.lines)
}

func (w *wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	w.lines[client], w.lines[server] = true, true
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		n, last := w.spend(n)
		if n > 0 {
			if _, err := client.Write(buf[:n]); err != nil {
				break
			}
		}
		if last {
			w.cutNow()
		}
		if err != nil || last {
			break
		}
	}
	client.Close()
	<-done
}

// spend returns how many of n bytes are let through, and whether that was it.
func (w *wire) spend(n int) (through int, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left < 0 {
		return n, false
	}
	if n < w.left {
		w.left -= n
		return n, false
	}
	n, w.left = w.left, -1
	return n, true
}
