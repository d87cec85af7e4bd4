package redis

import (
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// follows are the channels that this node follows.
type follows struct {
	sharded bool // logs are heard from the primaries of their slots; set at the start
	first   *listener
	refusal atomic.Pointer[error] // why the first could not listen the last time

	mu      sync.RWMutex
	byTopic map[string]*follow
	joining map[*follow]struct{} // who has not been answered
	// Where logs are sharded: who listens to which primary, by its address and by
	// the slots, which are as ranges say; and topics that nobody hears, see stray.
	shards map[string]*listener
	owners []*listener
	ranges []slotRange
	strays map[string]struct{}

	catch chan *follow // who does not continue; see catchUp
}

// The bounds of what goes on at a time.
const (
	catchers = 4
	// catchQueue is above what is followed usually; who finds no room is found
	// again by the next check.
	catchQueue = 16 << 10
)

func (s *follows) init() {
	s.byTopic, s.joining, s.strays = map[string]*follow{}, map[*follow]struct{}{}, map[string]struct{}{}
	s.catch = make(chan *follow, catchQueue)
}

// follow is one followed channel, and how far its feed has come.
type follow struct {
	name, topic string
	slot        uint16 // of the topic, in a Cluster
	declared    *channel.Declaration
	asked       time.Time
	ready       func(protocol.Position, error)

	// mu is held while the feed is given an entry, which is what keeps the
	// entries of a channel in order.
	mu     sync.Mutex
	state  followState
	at     point  // what the feed was given last
	hint   uint64 // the newest offset heard of while it did not continue
	queued bool   // it is in the queue of the catchers
}

type followState uint8

const (
	joining  followState = iota // subscribing, and then asking for the position
	live                        // what comes continues
	catching                    // something is missing: it is read from the log
	gone
)

// Follow makes the feed deliver the entries of a channel.
func (b *Broker) Follow(name string, d *channel.Declaration, ready func(protocol.Position, error)) {
	if b.closing.Load() || !b.started.Load() {
		ready(protocol.Position{}, b.failure(errDown))
		return
	}
	name = string([]byte(name))
	f := &follow{name: name, topic: b.base(name), declared: d, asked: time.Now(), ready: ready}
	s := &b.follows
	if s.sharded {
		f.slot = slotOf(f.topic)
	}
	s.mu.Lock()
	old := s.byTopic[f.topic]
	s.byTopic[f.topic] = f
	s.joining[f] = struct{}{}
	s.turn(f)
	s.mu.Unlock()
	if old != nil {
		b.leave(old)
	}
}

// Unfollow ends that.
func (b *Broker) Unfollow(name string) {
	topic := b.base(name)
	s := &b.follows
	s.mu.Lock()
	f := s.byTopic[topic]
	delete(s.byTopic, topic)
	s.turn(f)
	s.mu.Unlock()
	if f != nil {
		b.leave(f)
	}
}

// leave ends a follow and keeps what it has seen.
func (b *Broker) leave(f *follow) {
	f.mu.Lock()
	was, at := f.state, f.at
	f.state = gone
	f.mu.Unlock()
	if was != joining && at.epoch != "" {
		b.evidence.add(f.name, nil, at)
	}
}

// answered takes f out of those that wait, and reports whether it was there:
// whoever takes it out calls ready.
func (s *follows) answered(f *follow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.joining[f]
	delete(s.joining, f)
	return ok
}

// fail answers f with an error.
func (b *Broker) fail(f *follow, err error) {
	s := &b.follows
	if !s.answered(f) {
		return
	}
	s.mu.Lock()
	if s.byTopic[f.topic] == f {
		delete(s.byTopic, f.topic)
		s.turn(f)
	}
	s.mu.Unlock()
	b.leave(f)
	f.ready(protocol.Position{}, b.failure(err))
}

// joined is what follows the subscription of some topics: where the logs stand.
// What is published from now on is heard, so that nothing lies between.
func (b *Broker) joined(list []*follow) {
	var kept []*follow
	var calls []call
	var told [][]point
	for _, f := range list {
		if !f.declared.Kept() {
			b.begin(f, point{}, nil)
			continue
		}
		seen := b.evidence.seen(f.name)
		kept, told = append(kept, f), append(told, seen)
		calls = append(calls, b.logCall(positionScript, f.name, f.declared, seen, "1"))
	}
	if len(calls) == 0 {
		return
	}
	for i, r := range b.run(b.ctx, calls...) {
		f := kept[i]
		text, err := r.texts(3)
		if err != nil {
			b.fail(f, err)
			continue
		}
		offset, ok := parseOffset(text[1])
		if !ok || !validEpoch(text[0]) || !validPrint(text[2]) {
			b.fail(f, errGarbled)
			continue
		}
		b.begin(f, point{text[0], offset, text[2], b.lineage()}, told[i])
	}
}

// begin starts the feed of f behind a point and answers.
func (b *Broker) begin(f *follow, at point, told []point) {
	if !b.follows.answered(f) {
		return
	}
	if at.epoch != "" {
		b.evidence.add(f.name, told, at)
	}
	f.mu.Lock()
	if f.state == joining {
		f.at, f.state = at, live
		if f.hint > at.offset {
			b.lag(f)
		}
	}
	f.mu.Unlock()
	f.ready(protocol.Position{Epoch: at.epoch, Offset: at.offset}, nil)
}

// hear takes what was published to a topic. It must not block: it is called by
// the goroutine that reads the connection.
func (b *Broker) hear(topic, message string) {
	if b.control(topic) {
		b.hearControl(message)
		return
	}
	b.follows.mu.RLock()
	f := b.follows.byTopic[topic]
	b.follows.mu.RUnlock()
	if f == nil {
		return
	}
	n, err := parseNews(message)
	if err != nil {
		b.garbled(f.name, err)
		return
	}
	var e *channel.Entry
	if n.kind != 'n' {
		if e, err = decode(n.message, n.offset, n.time, n.ephemeral); err != nil {
			b.garbled(f.name, err)
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.state == gone:
	case n.kind == 'n':
		if f.state == live && n.epoch != f.at.epoch {
			b.lag(f)
		}
	case n.kind == 'e':
		if f.state != joining {
			b.feed.Entry(f.name, f.at.epoch, e)
		}
	case f.state != live:
		f.hint = max(f.hint, n.offset)
	case f.at.epoch == "":
		// Followed as a channel that keeps nothing, which is no longer so.
		b.feed.Entry(f.name, n.epoch, e)
	case n.epoch == f.at.epoch && n.offset == f.at.offset+1 && n.before == f.at.print:
		f.at.offset, f.at.print = n.offset, n.print
		b.feed.Entry(f.name, n.epoch, e)
	default:
		f.hint = n.offset
		b.lag(f)
	}
}

func (b *Broker) garbled(name string, err error) {
	if b.metrics.Garbled.Add(1) == 1 {
		b.opts.Logger.Warn("Redis passed on something that is not ours; such messages are dropped and counted", "channel", name, "error", err)
	}
}

// lag hands f to the catchers. f.mu is held.
func (b *Broker) lag(f *follow) {
	if f.state == live {
		f.state = catching
	}
	if f.queued {
		return
	}
	select {
	case b.follows.catch <- f:
		f.queued = true
	default:
		f.state = live // the next message, or check, tries again
	}
}

// restart tells the feed that what comes next is of another epoch, and follows
// at. f.mu is held.
func (b *Broker) restart(f *follow, at point) {
	b.metrics.Epochs.Add(1)
	f.at = at
	if r, ok := b.feed.(broker.Restarter); ok {
		r.Restarted(f.name, protocol.Position{Epoch: at.epoch, Offset: at.offset})
	}
}
