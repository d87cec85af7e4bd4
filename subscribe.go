package ringdown

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"

	"ringdown/internal/channel"
	"ringdown/internal/delivery"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// Received is a message that a program was given by Subscribe.
type Received struct {
	Stored        // Offset is 0 on a channel that keeps nothing
	Epoch  string // of Offset: with it the program can go on after the message, see After
}

// Lost is the error that tells of messages that Subscribe could not give.
type Lost struct {
	Reason   string // "slow", "trimmed" or "epoch"; see docs/recovery.md
	From, To uint64 // the offsets, on a channel that keeps messages
	Missed   uint64 // how many, on another
}

// Error implements error.
func (l *Lost) Error() string {
	if l.Missed > 0 {
		return fmt.Sprintf("%d messages were lost (%s)", l.Missed, l.Reason)
	}
	return fmt.Sprintf("the messages %d to %d were lost (%s)", l.From, l.To, l.Reason)
}

// SubscribeOption says where Subscribe begins.
type SubscribeOption func(*subscribing)

// subscribing is what the options of Subscribe say.
type subscribing struct {
	want  channel.Want
	begun func(epoch string, offset uint64)
}

// After has Subscribe begin behind a message that the program was given before.
func After(epoch string, offset uint64) SubscribeOption {
	return func(s *subscribing) { s.want.Since = &protocol.Position{Epoch: epoch, Offset: offset} }
}

// Latest has Subscribe begin with so many messages of a history, at most.
func Latest(n int) SubscribeOption { return func(s *subscribing) { s.want.Last = n } }

// Begun has Subscribe call fn once, on the goroutine of the iteration, when the
// subscription is there: all that is published from then on is given. epoch and
// offset say where it begins, on a channel that keeps messages.
func Begun(fn func(epoch string, offset uint64)) SubscribeOption {
	return func(s *subscribing) { s.begun = fn }
}

// Subscribe yields what a channel gets, in order, from when the iteration begins;
// of a state channel first what it holds. No rule and no hook is asked: this is the
// server itself. A program that is slow holds up nobody: it is given what it lacks
// when it comes to it, as far as the channel keeps that. Where something was lost,
// one step has a *Lost as its error and the iteration goes on; after any other error
// it ends: that of ctx, a *protocol.Error with not_found for a channel that is not
// declared, or with unavailable when the server stops. The body of the loop may call
// any method of the server.
func (s *Server) Subscribe(ctx context.Context, name string, opts ...SubscribeOption) iter.Seq2[Received, error] {
	return func(yield func(Received, error) bool) {
		var how subscribing
		for _, opt := range opts {
			opt(&how)
		}
		t, err := s.node.Resolve(name)
		if err == nil {
			loops := s.engine.Loops()
			b := &inbox{loop: loops[rand.N(len(loops))], begun: how.begun, more: make(chan struct{}, 1)}
			err = b.follow(ctx, s.sessions.Delivery(), &delivery.Opening{Channel: name, Target: t, Want: how.want}, yield)
		}
		if err != nil {
			yield(Received{}, err)
		}
	}
}

// inbox is where a hub writes what a program has subscribed to.
type inbox struct {
	loop  *reactor.Loop
	out   delivery.Subscriber
	begun func(epoch string, offset uint64) // nil: nobody asks
	more  chan struct{}                     // something has come

	mu    sync.Mutex
	items []item
	bytes int
}

// item is a run of frames, or an error.
type item struct {
	frames []byte
	begins *protocol.Position // of the subscription, or of another epoch
	err    error
	last   bool // the error ends it all
}

// mostWaiting is how many bytes may wait for the program.
const mostWaiting = 256 << 10

// follow yields what comes, until the program, ctx or the server ends it.
func (b *inbox) follow(ctx context.Context, d *delivery.Service, o *delivery.Opening, yield func(Received, error) bool) error {
	stopped := protocol.Errorf(protocol.CodeUnavailable, "the server is not running")
	if !b.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
		b.out.Init(d.Hub(b.loop), b)
		b.out.Subscribe(o, func(err error) {
			if err != nil {
				b.put(item{err: err, last: true})
			}
		})
	})) {
		return stopped
	}
	defer b.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { b.out.Close() }))
	epoch := ""
	for {
		for _, i := range b.take() {
			if i.last {
				return i.err
			}
			if i.begins != nil {
				epoch = i.begins.Epoch
				if b.begun != nil {
					b.begun(epoch, i.begins.Offset)
					b.begun = nil
				}
			}
			if !i.yield(epoch, yield) {
				return nil
			}
		}
		select {
		case <-b.more:
		case <-ctx.Done():
			return ctx.Err()
		case <-d.Stopped():
			return stopped
		}
	}
}

// yield hands an item on, message by message.
func (i *item) yield(epoch string, yield func(Received, error) bool) bool {
	if i.err != nil {
		return yield(Received{}, i.err)
	}
	for p := i.frames; len(p) > 0; {
		h, n, err := wsframe.ParseHeader(p)
		var m protocol.Message
		switch body := p[n : n+int(h.Length)]; {
		case err != nil:
		case h.Op == wsframe.Binary:
			err = protocol.DecodeBinary(body, &m)
		default:
			err = protocol.DecodeJSON(body, &m)
		}
		if err != nil {
			panic("ringdown: a frame of our own does not decode: " + err.Error())
		}
		p = p[n+int(h.Length):]
		if !yield(Received{Stored: storedMessage(&m), Epoch: epoch}, nil) {
			return false
		}
	}
	return true
}

// put adds an item.
func (b *inbox) put(i item) {
	b.mu.Lock()
	b.items = append(b.items, i)
	b.bytes += len(i.frames)
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take returns what has come.
func (b *inbox) take() []item {
	b.mu.Lock()
	items, full := b.items, b.bytes >= mostWaiting
	b.items, b.bytes = nil, 0
	b.mu.Unlock()
	if full {
		b.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { b.out.Drained() }))
	}
	return items
}

// Form implements delivery.Sink.
func (b *inbox) Form() channel.Form { return channel.FormText }

// Offer implements delivery.Sink. What is offered at a time is bounded.
func (b *inbox) Offer(frames []byte) int {
	b.put(item{frames: slices.Clone(frames)})
	return len(frames)
}

// Share implements delivery.Sink.
func (b *inbox) Share(rest []byte) { b.put(item{frames: rest}) }

// Blocked implements delivery.Sink.
func (b *inbox) Blocked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes >= mostWaiting
}

// Send implements delivery.Sink.
func (b *inbox) Send(e event.Event) {
	switch e := e.(type) {
	case *event.Subscribed:
		if e.Lost != "" {
			b.put(item{err: &Lost{Reason: e.Lost}})
		}
		b.put(item{begins: &e.Position})
	case *event.Gap:
		i := item{err: &Lost{Reason: e.Reason, From: e.Lost.From, To: e.Lost.To, Missed: e.Lost.Missed}}
		if e.Lost.Epoch {
			i.begins = &protocol.Position{Epoch: e.Epoch, Offset: e.Lost.Origin}
		}
		b.put(i)
	case *event.State:
		var frames []byte
		for _, entry := range e.Entries {
			frames = append(frames, entry.Frame(channel.FormText)...)
		}
		b.put(item{frames: frames})
	}
}

// Failed implements delivery.Sink.
func (b *inbox) Failed(cause any) {
	b.put(item{err: fmt.Errorf("ringdown: delivering panicked: %v", cause), last: true})
}

// AppendEvent implements delivery.Positions: the program keeps its own.
func (b *inbox) AppendEvent(dst, _ []byte) []byte { return dst }

// Settled implements delivery.Positions.
func (b *inbox) Settled() {}
