package browser

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gallery is a demo with a few of its apps, as a process of its own that can be killed,
// behind a network that can be cut.
type gallery struct {
	*server
	link *link
}

// newGallery starts the demo with the named apps alone.
func newGallery(t *testing.T, apps ...string) *gallery {
	t.Helper()
	s := newServer(t, append([]string{"--trucks", "5"}, apps...)...)
	return &gallery{s, newLink(t, s.addr)}
}

// url is where pages are behind the network.
func (g *gallery) url(path string) string { return "http://" + g.link.Addr().String() + path }

// page opens a page of somebody of their own, and waits for its line.
func (g *gallery) page(t *testing.T, path string) *window {
	t.Helper()
	w := newWindow(t)
	w.live(g.url(path))
	return w
}

// tab opens another page of the same person.
func (g *gallery) tab(w *window, path string) *window {
	w.t.Helper()
	beside := w.beside()
	beside.live(g.url(path))
	return beside
}

// cut ends all connections, and lets none be made until heal.
func (g *gallery) cut()  { g.link.set(true) }
func (g *gallery) heal() { g.link.set(false) }

// restart kills the server, as a power cut would, and starts it again on what it kept.
func (g *gallery) restart() {
	g.t.Helper()
	g.kill()
	g.start()
}

// back waits until the page's line is open again. The client waits longer and longer
// for a line that does not come; here it is told to try at once.
func (w *window) back() {
	w.t.Helper()
	w.wait(`document.documentElement.dataset.line === 'live' || (document.querySelector('#line').click(), false)`)
}

// lost waits until the page knows that its line is gone.
func (w *window) lost() {
	w.t.Helper()
	w.wait(`document.documentElement.dataset.line !== 'live'`)
}

// link is a network of which both sides are told when it is cut.
type link struct {
	net.Listener
	to    string
	mu    sync.Mutex
	down  bool
	ends  map[net.Conn]bool
	holds sync.WaitGroup
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{Listener: listener, to: to, ends: map[net.Conn]bool{}}
	l.holds.Go(l.lay)
	t.Cleanup(func() {
		listener.Close()
		l.set(true)
		l.holds.Wait()
	})
	return l
}

func (l *link) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down = down; down {
		for end := range l.ends {
			end.Close()
		}
		clear(l.ends)
	}
}

func (l *link) lay() {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		l.holds.Go(func() { l.connect(near) })
	}
}

// connect joins two ends until one of them is closed.
func (l *link) connect(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	l.mu.Lock()
	down := l.down
	if !down {
		l.ends[near], l.ends[far] = true, true
	}
	l.mu.Unlock()
	if down {
		return
	}
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		l.holds.Go(func() {
			io.Copy(way[0], way[1])
			done <- struct{}{}
		})
	}
	<-done
	l.mu.Lock()
	delete(l.ends, near)
	delete(l.ends, far)
	l.mu.Unlock()
}
