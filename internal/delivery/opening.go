package delivery

import (
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// Opening is a subscription in the making, which somebody has decided to allow. It
// goes through its phases on the loop, and waits in some of them:
//
//	opening    the channel is being followed
//	watching   so is the log of its members, for who is told of them
//	placing    where it begins is looked up in the ring
//	reading    or asked of the store
//	deferring  or not to be told yet: the ring has not heard of the store's epoch
//	answering  it becomes a subscription, and its answer leaves
//
// From there on its channel.Reader catches up, and is live. One Opening is good for
// one subscription.
type Opening struct {
	ID      []byte // of the answer
	Channel string
	Target  node.Target
	Want    channel.Want
	Barred  bool    // the past that was asked for is not given; the answer says so
	Rate    float64 // deliveries a second; 0: all
	Watch   bool    // it is told of the channel's members
	Track   int16   // see Subscriber.KeepPositions; 0: it is found

	who     *Subscriber
	done    func(err error)
	phase   phase
	waiting bool // for what was begun in this phase
	running bool
	group   *group
	watch   *group
	era     uint64
	place   channel.Placement
	page    *channel.Page
	tries   int
	timer   reactor.Timer
	err     error
}

type phase uint8

const (
	opening phase = iota
	watching
	placing
	reading
	deferring
	answering
	ended
)

// How long a ring may be behind the store.
const (
	deferTick  = 100 * time.Millisecond
	mostDefers = 50
)

// Subscribe makes the subscription that o describes, which s does not have yet. done
// hears of the end on the loop, perhaps before Subscribe returns: after the answer
// was sent, or of the error why there is none. It is not called if s is closed.
func (s *Subscriber) Subscribe(o *Opening, done func(err error)) {
	o.who, o.done = s, done
	o.run()
}

// Refuse ends an opening that waits for something, with an error, in a moment.
func (o *Opening) Refuse(err error) { o.err = err }

// run goes through the phases until one has to wait.
func (o *Opening) run() {
	if o.running {
		return // what was waited for came at once: the loop below goes on with it
	}
	o.running = true
	for !o.waiting && o.phase != ended {
		if o.who.closed || o.err != nil {
			o.end()
		} else {
			o.step()
		}
	}
	o.running = false
}

// await notes that the phase has begun something. The function that it returns is
// to be called with what came of it, on the loop, and leads to the next phase.
func (o *Opening) await(next phase) (arrived func(err error)) {
	o.waiting = true
	return func(err error) {
		o.waiting = false
		if o.phase = next; o.err == nil {
			o.err = err
		}
		o.run()
	}
}

func (o *Opening) step() {
	h := o.who.hub
	switch o.phase {
	case opening:
		arrived := o.await(watching)
		h.join(o.Channel, o.Target, func(g *group, err error) { o.group = g; arrived(err) })
	case watching:
		if !o.Watch {
			o.phase = placing
			return
		}
		arrived := o.await(placing)
		o.group.joinMembers(func(w *group, err error) { o.watch = w; arrived(err) })
	case placing:
		o.lookUp()
	case reading:
		arrived := o.await(placing)
		h.Page(o.group.name(), o.group.channel.Target(), o.place.Ask, true, func(p channel.Page, err error) { o.page = &p; arrived(err) })
	case deferring:
		o.place, o.page = channel.Placement{}, nil
		if o.tries++; o.tries > mostDefers {
			o.err = &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: time.Second,
				Message: "this node has not heard from its store for a while; try again"}
			return
		}
		o.waiting = true
		h.loop.Arm(&o.timer, deferTick, (*deferral)(o))
	case answering:
		o.answer()
	case ended:
	}
}

// deferral is an opening that is deferring.
type deferral Opening

// Fire looks again.
func (d *deferral) Fire(*reactor.Loop) {
	o := (*Opening)(d)
	o.waiting, o.phase = false, placing
	o.run()
}

// lookUp finds where the subscription begins, or what is to be done before that can
// be said.
func (o *Opening) lookUp() {
	g := o.group
	v := g.channel.View(o.Want.Since)
	if !g.fresh() {
		return // who is a member already was told; again, by the epoch of now
	}
	if g.era != o.era {
		o.era, o.page = g.era, nil // the page may be of the epoch before
	}
	o.place = channel.Place(&o.Want, g.declaration(), v, &o.place, o.page)
	if o.place.Claimed {
		g.channel.Claimed(*o.Want.Since)
	}
	switch o.place.Step {
	case channel.Placed:
		o.phase = answering
	case channel.Reading:
		o.phase = reading
	case channel.Waiting:
		o.phase = deferring
	}
}

// answer makes the subscription. It comes before the answer, so that a peer that is
// told its position is told it with that.
func (o *Opening) answer() {
	s, g := o.who, o.group
	m := member{reader: o.place.Reader, who: s, sub: int32(len(s.subs))}
	if o.Rate > 0 {
		pace, _ := channel.NewPace(o.Rate)
		m.pacer = &pacer{pace: pace, who: s, group: g}
		if m.reader.Phase == channel.Live {
			m.reader.Phase = channel.Resting
		}
	}
	i := len(s.subs)
	s.subs = append(s.subs, subscription{group: g, at: g.add(m), watch: unwatched})
	g.channel.AddSubscribers(1)
	if o.watch != nil {
		s.beginWatch(i, o.watch)
	}
	e := &event.Subscribed{ID: o.ID, Channel: g.name(), Asked: o.Want.Since != nil, Lost: o.place.Lost, Head: o.place.Head, Barred: o.Barred}
	if g.declaration().Kept() && o.place.Position.Epoch != "" {
		e.Kept, e.Position = true, o.place.Position
	}
	s.track(i, o.Track, e.Position.Epoch)
	s.sink.Send(e)
	switch i = s.inGroup(g); {
	case i < 0:
	case o.place.Given:
		g.give(s.subs[i].member(), o.page)
	case o.place.Reader.Phase == channel.Lagging:
		s.schedule()
	}
	o.end()
}

// end lets go of what was joined, and tells.
func (o *Opening) end() {
	o.phase = ended
	if o.watch != nil {
		o.watch.unpin()
	}
	if o.group != nil {
		o.group.unpin()
	}
	if !o.who.closed {
		o.done(o.err)
	}
}
