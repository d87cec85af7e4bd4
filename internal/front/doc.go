// Package front is the server towards the network: it accepts sockets, says how
// many there may be, closes those that wait for nothing when room is short, gives
// up on those that take or send nothing, and knows from whom a request really
// comes when a proxy stands in between.
//
// Every accepted socket has a place from the moment it is accepted to the moment
// its descriptor is closed, whoever drives it by then: net/http while it speaks
// HTTP, an event loop once it was upgraded.
package front

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/refusal"
	"ringdown/protocol"
)

// Policy is what a reload may change. Zero fields mean the defaults.
type Policy struct {
	// Sockets is how many may be open, whatever they are used for. Default: what
	// the descriptors allow.
	Sockets int
	// HTTP is how many of them may speak HTTP: requests, long-polls, handshakes,
	// and connections that are kept for the next request. Each has a goroutine and
	// its buffers. Default 20,000.
	HTTP int
	// PerAddress is how many may come from one address, or one /64 of IPv6.
	// Default half of Sockets; then it does not count for loopback and private
	// networks, where a proxy may stand that nobody has declared.
	PerAddress int
	// HandshakesPerAddress is how many may come from one address in a second.
	// Default 250, with the same exception.
	HandshakesPerAddress int
	// HandshakesBurst is how many of them may come at once. Default two seconds'
	// worth.
	HandshakesBurst int
	// RequestsPerAddress is how many requests may come from one address in a second,
	// those apart that ask for a WebSocket, or that Exempt lets pass. 0: any number.
	RequestsPerAddress int
	// RequestsBurst is how many of them may come at once. Default two seconds' worth.
	RequestsBurst int
	// Unread is how many bytes of answers may wait at a time for their clients to take
	// them, over all connections. Default 256 MiB.
	Unread int64
	// Idle is how long a connection waits for its next request. Default 2 min,
	// which is longer than nginx and the usual load balancers keep theirs: who
	// closes first must be the one who would send.
	Idle time.Duration
	// Trusted are the proxies whose word is taken for whom they speak for.
	Trusted Trusted
}

// Options make a Front.
type Options struct {
	Policy      Policy
	Descriptors int // that the process may have; 0: not known
	// Exempt says whose requests are not counted against their address. nil: nobody's.
	Exempt   func(*http.Request) bool
	Refusals *refusal.Recorder
}

// Front holds the accepted sockets. Its methods are safe for concurrent use.
type Front struct {
	refusals   *refusal.Recorder
	exempt     func(*http.Request) bool
	files      int // descriptors for sockets
	began      time.Time
	policy     atomic.Pointer[Policy]
	limits     timeouts
	metrics    Metrics
	explaining chan struct{} // a place for each refusal that is being explained
	unread     atomic.Int64  // bytes of the answers that are being written

	server    *http.Server
	listeners []net.Listener
	serving   sync.WaitGroup
	failed    atomic.Pointer[error] // what ended a listener

	mu             sync.Mutex
	stopping       bool
	sockets        int
	speaking       map[*Conn]struct{} // those that speak HTTP
	hosts          map[host]*place
	sweepAt        int
	noneSpareUntil time.Duration // nothing that could be closed was found, and is not looked for again before
	noneStuckUntil time.Duration // the same of answers that could be given up
}

// Metrics count what the sockets did. Fields may be read at any time.
type Metrics struct {
	Accepted atomic.Uint64
	MadeRoom atomic.Uint64 // closed to make room for others
	Stalled  atomic.Uint64 // closed because the client took or sent nothing
}

// New returns a front that listens nowhere.
func New(o Options) *Front {
	f := &Front{
		refusals:   o.Refusals,
		exempt:     o.Exempt,
		files:      max(o.Descriptors-Reserve(o.Descriptors), 1),
		began:      time.Now(),
		limits:     defaultTimeouts,
		explaining: make(chan struct{}, mostExplaining),
		speaking:   make(map[*Conn]struct{}),
		hosts:      make(map[host]*place),
	}
	if o.Descriptors <= 0 {
		f.files = mostSockets
	}
	f.SetPolicy(o.Policy)
	return f
}

const mostSockets = 1 << 24

// Reserve is how many of so many descriptors are no sockets of clients: they are
// for the store, for Redis, and for the moment in which a socket that is handed to
// an event loop has two.
func Reserve(descriptors int) int {
	return min(max(descriptors/10, 128), 4096, (descriptors+1)/2)
}

// StoreFiles is how many of the reserved descriptors the files of a store's database
// may take; the rest is for its journal and for whatever else is opened.
func StoreFiles(descriptors int) int { return max(Reserve(descriptors)*3/4, 1) }

// SetPolicy changes the limits, for sockets and requests from now on.
func (f *Front) SetPolicy(p Policy) {
	p.Sockets = min(cmp.Or(p.Sockets, f.files), f.files)
	p.HTTP = cmp.Or(p.HTTP, 20_000)
	p.Unread = cmp.Or(p.Unread, 256<<20)
	p.Idle = cmp.Or(p.Idle, 2*time.Minute)
	f.policy.Store(&p)
}

// Streams is how many sockets may be taken by connections that last: the rest is
// kept for requests, so that a server full of clients still answers them.
func (f *Front) Streams() int {
	n := f.policy.Load().Sockets
	return n - max(n/16, 1)
}

// Limit returns how many sockets there may be.
func (f *Front) Limit() int { return f.policy.Load().Sockets }

// Metrics returns the counters.
func (f *Front) Metrics() *Metrics { return &f.metrics }

// Open returns how many sockets are open, and how many of them speak HTTP.
func (f *Front) Open() (sockets, speakHTTP int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sockets, len(f.speaking)
}

// now is the time since the front was made. It does not jump when the clock of
// the machine is set.
func (f *Front) now() time.Duration { return time.Since(f.began) }

// enter gives an accepted socket its place, or says why there is none.
func (f *Front) enter(nc net.Conn) (*Conn, *protocol.Error) {
	p := f.policy.Load()
	h := p.hostOf(nc.RemoteAddr())
	f.mu.Lock()
	if f.sockets >= p.Sockets || len(f.speaking) >= p.HTTP {
		f.makeRoom(max(p.Sockets/64, 1)) // gives the lock back for a moment
	}
	defer f.mu.Unlock()
	switch {
	case f.stopping:
		return nil, full("", "this server is going down; connect again, to another one if there is one")
	case f.sockets >= p.Sockets:
		return nil, full("limits.node.sockets", "this server holds as many connections as it can (limits.node.sockets, and ulimit -n); come back in a moment")
	case len(f.speaking) >= p.HTTP:
		return nil, full("limits.node.http_connections", "this server answers as many requests as it can (limits.node.http_connections is %d); come back in a moment", p.HTTP)
	}
	at, err := f.take(h, p)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: nc, front: f, place: at}
	c.since.Store(int64(f.now()))
	f.sockets++
	f.speaking[c] = struct{}{}
	f.metrics.Accepted.Add(1)
	return c, nil
}

func full(limit, format string, args ...any) *protocol.Error {
	e := protocol.Errorf(protocol.CodeUnavailable, format, args...).WithLimit(limit)
	e.RetryAfter = 5 * time.Second
	return e
}

// leave takes back what a socket had. The lock is held.
func (f *Front) leave(c *Conn) {
	delete(f.speaking, c)
	f.sockets--
	f.unread.Add(-c.unread.Swap(0))
	f.give(c.place)
	if c.speaksFor != nil {
		f.give(c.speaksFor)
		c.speaksFor = nil
	}
}

// lookAgainAfter is how long nothing is looked for after nothing was found: looking at
// every connection for each newcomer would be an attack of its own.
const lookAgainAfter = 100 * time.Millisecond

// makeRoom closes up to n connections that can be spared. The lock is held, and
// given back while they are closed.
func (f *Front) makeRoom(n int) {
	now := f.now()
	if now < f.noneSpareUntil {
		return
	}
	list := f.spares(now, (*Conn).spare)
	if len(list) == 0 {
		f.noneSpareUntil = now + lookAgainAfter
		return
	}
	f.cut(list[:min(n, len(list))], protocol.Errorf(protocol.CodeUnavailable, "a connection that waited was closed to make room for others").WithReason("room"))
}

// spare is a connection that can be closed.
type spare struct {
	conn *Conn
	held int // by its address
	wait time.Duration
}

// spares returns the connections of which can says that they can be closed, and how
// long they have waited: those of the address that holds the most come first, and
// of one address those that have waited the longest. The lock is held.
func (f *Front) spares(now time.Duration, can func(*Conn, time.Duration) (time.Duration, bool)) []spare {
	var list []spare
	trusted := f.policy.Load().Trusted
	for c := range f.speaking {
		if wait, ok := can(c, now); ok {
			s := spare{c, c.place.open, wait}
			if trusted.Contains(c.place.addr()) {
				s.held = 0 // it speaks for many
			}
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b spare) int {
		return cmp.Or(cmp.Compare(b.held, a.held), cmp.Compare(b.wait, a.wait))
	})
	return list
}

// cut closes connections, of which why is recorded. The lock is held, and given
// back meanwhile.
func (f *Front) cut(list []spare, why *protocol.Error) {
	closing := list[:0]
	for _, s := range list {
		if s.conn.gone.CompareAndSwap(false, true) {
			f.leave(s.conn)
			closing = append(closing, s)
		}
	}
	f.mu.Unlock()
	for _, s := range closing {
		_ = s.conn.Conn.Close()
		f.metrics.MadeRoom.Add(1)
		f.note(s.conn.place, why)
	}
	f.mu.Lock()
}

// note records that something was refused or cut off.
func (f *Front) note(at *place, e *protocol.Error) {
	f.refusals.Note(refusal.Refusal{Door: refusal.Listener, Action: "connect", Err: e, Address: at.addr()})
}
