package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"runtime/debug"

	"ringdown/internal/auth"
	"ringdown/internal/delivery"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// hub is what the sessions of one loop share. It is touched on that loop only.
type hub struct {
	server *Server
	loop   *reactor.Loop
	out    *delivery.Hub
	table  []*Session // by the index in their id; nil: free
	free   []uint32

	// Memory that one message after the other uses, so that none is allocated
	// for a publish and its answer.
	ack       event.Ack
	caller    node.Caller // of asking
	asking    *Session
	publishes []*publish // idle ones
}

func newHub(s *Server, l *reactor.Loop) *hub {
	h := &hub{server: s, loop: l, out: s.delivery.Hub(l)}
	h.caller.Claims = func() map[string]any { return h.asking.claimsMap() }
	h.caller.Connection = func() string { return h.asking.ID() }
	return h
}

// id names a connection: the loop and place where it is found, and 88 random
// bits, so that nobody finds one by guessing.
type id [16]byte

func (h *hub) add(x *Session) {
	var at uint32
	if n := len(h.free); n > 0 {
		at, h.free = h.free[n-1], h.free[:n-1]
		h.table[at] = x
	} else {
		at = uint32(len(h.table))
		h.table = append(h.table, x)
	}
	rand.Read(x.id[:]) // never fails (crypto/rand)
	x.id[0] = byte(h.loop.Index())
	binary.BigEndian.PutUint32(x.id[1:], at)
	h.server.sessions.Add(1)
	h.server.metrics.Opened.Add(1)
}

func (h *hub) remove(x *Session) {
	at := x.id.place()
	h.table[at] = nil
	h.free = append(h.free, at)
	h.server.sessions.Add(-1)
}

func (i id) place() uint32 { return binary.BigEndian.Uint32(i[1:]) }

// name is the id as others know it: the node comes first, so that every node
// knows whom to ask.
func (i id) name(node string) string { return node + base64.RawURLEncoding.EncodeToString(i[:]) }

func parseID(s string) (node string, i id, ok bool) {
	n := len(s) - base64.RawURLEncoding.EncodedLen(len(i))
	if n <= 0 || !auth.ValidNode(s[:n]) {
		return "", i, false
	}
	_, err := base64.RawURLEncoding.Decode(i[:], []byte(s[n:]))
	return s[:n], i, err == nil
}

// find returns the session of that id if it is this hub's and still open.
func (h *hub) find(i id) *Session {
	at := int(i.place())
	if at < len(h.table) && h.table[at] != nil && h.table[at].id == i {
		return h.table[at]
	}
	return nil
}

// do runs fn on the hub's loop and waits for it.
func (h *hub) do(ctx context.Context, fn func()) error {
	done := make(chan struct{})
	if !h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { defer close(done); fn() })) {
		return protocol.Errorf(protocol.CodeUnavailable, "this server is going down")
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// walk is a job that visits every session of a hub, some at a time.
type walk struct {
	hub   *hub
	at    int
	visit func(x *Session)
	done  func()
}

const walkStep = 64

// look visits one session. One that panics is closed, and the walk goes on: who
// waits for its end would otherwise wait for ever.
func (w *walk) look(x *Session) {
	defer func() {
		if cause := recover(); cause != nil {
			(*sink)(x).Failed(cause)
		}
	}()
	w.visit(x)
}

// Step visits the next few sessions.
func (w *walk) Step(*reactor.Loop) bool {
	for n := 0; n < walkStep && w.at < len(w.hub.table); n++ {
		x := w.hub.table[w.at]
		w.at++
		if x != nil {
			w.look(x)
		}
	}
	if w.at < len(w.hub.table) {
		return true
	}
	if w.done != nil {
		w.done()
	}
	return false
}

func stack() string { return string(debug.Stack()) }
