package sim

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// machine is one node of the cluster, sessions and all.
type machine struct {
	t      *testing.T
	name   string
	port   *port
	engine *reactor.Engine
	server *session.Server
	stops  []func(context.Context) error

	mu    sync.Mutex
	links map[*link]bool
	down  bool
}

func newMachine(t *testing.T, name string, f *fabric, d *channel.Declaration) *machine {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	own := *d // a table writes into its declarations
	table, err := channel.NewTable([]*channel.Declaration{&own})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, name: name, port: f.port(), links: map[*link]bool{}}
	if m.engine, err = reactor.New(reactor.Options{Engine: "std", Loops: 2, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Options{JWT: []auth.JWT{{Secret: []byte("a-secret-of-at-least-thirty-two-bytes!"), Algorithm: "HS256"}}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	n := node.New(node.Options{Broker: m.port, Table: table, Logger: quiet})
	m.server = session.New(session.Options{Engine: m.engine, Node: n, Verifier: verifier, Name: name, Logger: quiet,
		Policy: session.Policy{Limits: session.Limits{MessagesPerSecond: 1_000_000, MessagesBurst: 1_000_000}}})
	for _, start := range []func(context.Context) error{m.engine.Start, verifier.Start, n.Start} {
		if err := start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m.stops = []func(context.Context) error{m.server.Stop, n.Stop, verifier.Stop, m.engine.Stop}
	return m
}

// stop ends the node; abruptly, its clients hear nothing any more.
func (m *machine) stop(abruptly bool) {
	m.mu.Lock()
	m.down = true
	var all []*link
	for l := range m.links {
		all = append(all, l)
	}
	m.mu.Unlock()
	if abruptly {
		for _, l := range all {
			l.cut()
		}
	}
	for _, stop := range m.stops {
		if err := stop(context.Background()); err != nil {
			m.t.Error(m.name, err)
		}
	}
	for _, l := range all {
		l.cut()
	}
}

// connect opens a connection of a user, or returns nil when the node is down.
func (m *machine) connect(user string, room int) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil
	}
	loops := m.engine.Loops()
	l := &link{machine: m, loop: loops[len(m.links)%len(loops)], room: room, more: make(chan struct{}, 1), gone: make(chan struct{})}
	opened := l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
		l.session = m.server.Open(l, session.Open{Transport: "sim", Identity: &auth.Identity{User: user}, RemoteAddr: netip.MustParseAddrPort("127.0.0.1:1")})
	}))
	if !opened {
		return nil
	}
	m.links[l] = true
	return l
}

// link is a connection: a socket of so much room that its client empties when
// it likes.
type link struct {
	machine *machine
	loop    *reactor.Loop
	session *session.Session // the loop's
	more    chan struct{}    // has one when there is something to read
	gone    chan struct{}    // closed when the connection has ended
	once    sync.Once

	mu      sync.Mutex
	room    int
	stream  []byte // what the socket took
	backlog []byte // what waits in the server for room
}

func (l *link) Loop() *reactor.Loop { return l.loop }
func (l *link) Form() channel.Form  { return channel.FormText }

func (l *link) Offer(p []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.backlog) > 0 {
		return 0
	}
	return l.take(p)
}

// take is called with mu held.
func (l *link) take(p []byte) int {
	n := max(0, min(len(p), l.room-len(l.stream)))
	l.stream = append(l.stream, p[:n]...)
	if n > 0 {
		select {
		case l.more <- struct{}{}:
		default:
		}
	}
	return n
}

func (l *link) Share(rest []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = append(l.backlog, rest...)
}

func (l *link) Send(e event.Event) {
	m := event.Encode(e)
	defer m.Release()
	frame := wsframe.Finish(protocol.AppendJSON(make([]byte, wsframe.Headroom), &m.Message), wsframe.Text, false)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.backlog) == 0 {
		frame = frame[l.take(frame):]
	}
	l.backlog = append(l.backlog, frame...)
}

func (l *link) Blocked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.backlog) > 0
}

func (l *link) Close(protocol.CloseCode, string) { l.cut() }
func (l *link) PauseRead()                       {}
func (l *link) ResumeRead()                      {}

// cut ends the connection. Any goroutine.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.gone)
		l.machine.mu.Lock()
		delete(l.machine.links, l)
		l.machine.mu.Unlock()
		l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
			if l.session != nil {
				l.session.Closed(nil)
			}
		}))
	})
}

// read takes what is in the socket, which makes room for more.
func (l *link) read() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.stream
	l.stream = nil
	l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { l.drain() }))
	return p
}

// drain moves what waits into the socket, on the loop.
func (l *link) drain() {
	select {
	case <-l.gone:
		return
	default:
	}
	l.mu.Lock()
	waited := len(l.backlog) > 0
	l.backlog = l.backlog[l.take(l.backlog):]
	free := len(l.backlog) == 0
	l.mu.Unlock()
	if waited && free && l.session != nil {
		l.session.Drained()
	}
}

// write gives the session a message.
func (l *link) write(text []byte) {
	l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
		select {
		case <-l.gone:
			return
		default:
		}
		var m protocol.Message
		if err := protocol.DecodeJSON(text, &m); err != nil {
			l.machine.t.Error(err)
			return
		}
		l.session.Message(&m)
	}))
}
