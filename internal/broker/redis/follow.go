package redis

import (
	"slices"
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
	byTopic map[string][]*follow // copied on change
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
	s.byTopic, s.joining, s.strays = map[string][]*follow{}, map[*follow]struct{}{}, map[string]struct{}{}
	s.catch = make(chan *follow, catchQueue)
}

// follow is one follower of a log, and how far it has come.
type follow struct {
	*log
	follower broker.Follower
	topic    string
	slot     uint16 // of the topic, in a Cluster
	asked    time.Time

	// mu is held while the follower is given an entry, which is what keeps them in
	// order.
	mu     sync.Mutex
	state  followState
	at     point  // what the follower was given last
	hint   uint64 // the newest offset heard of while it did not continue
	queued bool   // it is in the queue of the catchers
	heard  bool   // an entry that continued, since its head was to be looked at last
}

type followState uint8

const (
	joining  followState = iota // subscribing, and then asking for the position
	live                        // what comes continues
	catching                    // something is missing: it is read from the log
	gone
)

// Follow gives f what is appended from now on.
func (l *log) Follow(fr broker.Follower) broker.Subscription {
	b := l.broker
	f := &follow{log: l, follower: fr, topic: b.base(l.name), asked: time.Now()}
	if b.closing.Load() || !b.started.Load() {
		fr.Begin(protocol.Position{}, b.failure(errDown))
		return f
	}
	s := &b.follows
	if s.sharded {
		f.slot = slotOf(f.topic)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byTopic[f.topic] = append(slices.Clone(s.byTopic[f.topic]), f)
	s.joining[f] = struct{}{}
	s.turn(f)
	return f
}

// Close ends the delivery.
func (f *follow) Close() {
	f.broker.follows.answered(f) // it hears nothing more, of its beginning neither
	f.broker.leave(f)
}

// remove takes f out of those that follow its topic. mu is held.
func (s *follows) remove(f *follow) {
	list := s.byTopic[f.topic]
	i := slices.Index(list, f)
	switch {
	case i < 0:
		return
	case len(list) == 1:
		delete(s.byTopic, f.topic)
	default:
		s.byTopic[f.topic] = slices.Delete(slices.Clone(list), i, i+1)
	}
	s.turn(f)
}

// leave ends a follow and keeps what it has seen.
func (b *Broker) leave(f *follow) {
	b.follows.mu.Lock()
	b.follows.remove(f)
	b.follows.mu.Unlock()
	f.mu.Lock()
	was, at := f.state, f.at
	f.state = gone
	f.mu.Unlock()
	if was != joining && at.epoch != "" {
		b.evidence.add(f.name, nil, at)
	}
}

// answered takes f out of those that wait, and reports whether it was there:
// whoever takes it out has it begin.
func (s *follows) answered(f *follow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.joining[f]
	delete(s.joining, f)
	return ok
}

// fail answers f with an error.
func (b *Broker) fail(f *follow, err error) {
	if !b.follows.answered(f) {
		return
	}
	b.leave(f)
	f.follower.Begin(protocol.Position{}, b.failure(err))
}

// joined is what follows the subscription of some topics: where the logs stand.
// What is published from now on is heard, so that nothing lies between.
func (b *Broker) joined(list []*follow) {
	var kept []*follow
	var calls []call
	var told [][]point
	for _, f := range list {
		if !f.declared.Load().Kept() {
			b.begin(f, point{}, nil)
			continue
		}
		seen := b.evidence.seen(f.name)
		kept, told = append(kept, f), append(told, seen)
		calls = append(calls, b.logCall(positionScript, f.name, f.declared.Load(), seen, "1"))
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
	defer f.mu.Unlock()
	if f.state != joining {
		return
	}
	f.at, f.state = at, live
	f.follower.Begin(protocol.Position{Epoch: at.epoch, Offset: at.offset}, nil)
	if f.hint > at.offset {
		b.lag(f)
	}
}

// hear takes what was published to a topic. It must not block: it is called by
// the goroutine that reads the connection.
func (b *Broker) hear(topic, message string) {
	if b.control(topic) {
		b.hearControl(message)
		return
	}
	b.follows.mu.RLock()
	list := b.follows.byTopic[topic]
	b.follows.mu.RUnlock()
	if len(list) == 0 {
		return
	}
	n, err := parseNews(message)
	if err != nil {
		b.garbled(list[0].name, err)
		return
	}
	var e *channel.Entry
	if n.kind != 'n' {
		if e, err = decode(n.message, n.offset, n.time, n.ephemeral); err != nil {
			b.garbled(list[0].name, err)
			return
		}
	}
	for _, f := range list {
		f.take(&n, e)
	}
}

// take gives f what was published, if that continues where f stands.
func (f *follow) take(n *news, e *channel.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.state == gone:
	case n.kind == 'n':
		if f.state == live && n.epoch != f.at.epoch {
			f.broker.lag(f)
		}
	case n.kind == 'e':
		if f.state != joining {
			f.follower.Entry(f.at.epoch, e)
		}
	case f.state != live:
		f.hint = max(f.hint, n.offset)
	case f.at.epoch == "":
		// Followed as a channel that keeps nothing, which is no longer so.
		f.follower.Entry(n.epoch, e)
	case n.epoch == f.at.epoch && n.offset == f.at.offset+1 && n.before == f.at.print:
		f.at.offset, f.at.print, f.heard = n.offset, n.print, true
		f.follower.Entry(n.epoch, e)
	default:
		f.hint = n.offset
		f.broker.lag(f)
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

// restart tells f that what comes next is of another epoch, and follows
// at. f.mu is held.
func (b *Broker) restart(f *follow, at point) {
	b.metrics.Epochs.Add(1)
	f.at = at
	f.follower.Restart(protocol.Position{Epoch: at.epoch, Offset: at.offset})
}
