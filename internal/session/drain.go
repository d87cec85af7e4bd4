package session

import (
	"context"
	"math/rand/v2"
	"time"

	"ringdown/internal/event"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// Refuse lets no more connections in, and has Accepting say so, for whoever
// balances load over nodes to hear of it before the connections are closed.
func (s *Server) Refuse() { s.draining.Store(true) }

// Drain asks every connection to come back within the window, at a time of its
// own choice, and goes on serving all of them meanwhile. Those who have not left
// by then are closed one by one over the same window, so that clients that know
// nothing of the request do not all come back at once either. Drain returns when
// the last one has gone. When ctx ends, those who are still there are closed all
// at once, which is no error: nobody can be made to leave. No connection is let in
// meanwhile.
func (s *Server) Drain(ctx context.Context, window time.Duration) error {
	s.Refuse()
	window = s.spread(ctx, window)
	for _, h := range s.hubs {
		h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
			h.loop.AddJob(&walk{hub: h, visit: func(x *Session) { x.drain(window) }})
		}))
	}
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for s.sessions.Load() > 0 {
		select {
		case <-ctx.Done():
			s.cutOff()
			return nil
		case <-t.C:
		}
	}
	return nil
}

// cutOff closes everybody now, whatever they still wait for.
func (s *Server) cutOff() {
	s.log.Warn("connections that did not leave in time are closed", "connections", s.Sessions())
	for _, h := range s.hubs {
		h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
			h.loop.AddJob(&walk{hub: h, visit: func(x *Session) { x.end(protocol.CloseDraining) }})
		}))
	}
}

// comeback is how many connections a second another node takes with ease. A
// server with few of them need not wait as long as one with many.
const comeback = 1000

// spread is how much of the window is made use of.
func (s *Server) spread(ctx context.Context, window time.Duration) time.Duration {
	window = min(window, 100*time.Millisecond+time.Duration(s.Sessions())*time.Second/comeback)
	if end, ok := ctx.Deadline(); ok {
		// Time is left for what is still under way, and for the rooms below.
		window = min(window, time.Until(end)*3/4)
	}
	return max(window, 0)
}

// drain asks the client to come back within the window, and closes the
// connection at some time in it.
func (x *Session) drain(window time.Duration) {
	if x.leaving || x.closed {
		return
	}
	x.leaving = true
	h := x.hub
	x.link.Send(&event.Reconnect{Within: window})
	if x.closed {
		return
	}
	h.loop.Disarm(&x.timer)
	if !x.welcomed || window <= 0 {
		x.leave()
		return
	}
	h.loop.Arm(&x.timer, rand.N(window), x)
}

// leave closes a connection of a server that goes down, once what it asked for
// is answered: an acknowledgement that is on its way is not cut off.
func (x *Session) leave() {
	const patience = 50 * time.Millisecond
	if x.has().pending > 0 || x.owed > 0 {
		x.hub.loop.Arm(&x.timer, patience, x)
		return
	}
	x.end(protocol.CloseDraining)
}
