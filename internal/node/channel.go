package node

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Nudger is told that a channel has something new. One nudger stands for all
// the subscribers of a channel on one event loop.
type Nudger interface {
	// Nudge must not block and must not call back into the Channel. It is called
	// in the order of appends, from the goroutine that appended.
	Nudge()
}

// Channel is a channel that somebody on this node follows. It is made with its
// first nudger and goes with its last, and has a subscription of its own: another
// Channel of the same name may have begun by then, and is no business of this one.
type Channel struct {
	Name string
	node *Node
	log  broker.Log
	kept bool // messages carry offsets

	subscribers atomic.Int64
	declaration atomic.Pointer[channel.Declaration]

	mu      sync.Mutex
	state   followState
	follow  broker.Subscription // nil until the driver gave it
	waiting []waiting           // until it is followed
	ring    *channel.Ring       // nil until it is followed
	epoch   string
	era     uint64   // how often the epoch changed while somebody here followed
	nudgers []Nudger // copied on change, so that deliver can walk it unlocked
	counted int64    // what ring holds, as counted in node.ringBytes
	held    bool     // nobody is nudged until it ends
	rested  uint64   // the newest sequence when rest last looked
}

type followState uint8

const (
	following followState = iota // the driver was asked
	followed
	gone // no longer in the node's map
)

// waiting is somebody who waits to hear that the channel is followed.
type waiting struct {
	nudger Nudger
	ready  func(*Channel, error)
}

// Follow has g nudged when the channel of that name has something new, from when
// ready is called on, which is told the channel, or an error. It returns the
// channel, on which the caller must call Leave in the end, also before ready was
// called and then instead of it; nil after an error. ready is called once, on any
// goroutine, perhaps before Follow returns; it must not block, nor call the node.
func (n *Node) Follow(name string, t Target, g Nudger, ready func(*Channel, error)) *Channel {
	for {
		c, made, err := n.channel(name, t)
		if err != nil {
			ready(nil, err)
			return nil
		}
		if !c.join(g, ready) {
			continue // it went away between the look-up and the join
		}
		if made {
			c.begin()
		}
		return c
	}
}

func (n *Node) channel(name string, t Target) (c *Channel, made bool, err error) {
	if c := n.lookup(name); c != nil {
		return c, false, nil
	}
	s := n.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[name]; c != nil {
		return c, false, nil
	}
	if n.channels.Load() >= int64(n.opts.Channels) {
		return nil, false, protocol.Errorf(protocol.CodeLimitExceeded, "this server follows its limit of %d channels (limits.node.channels); there is room again when nobody is subscribed to some of them", n.opts.Channels).WithLimit("limits.node.channels")
	}
	n.channels.Add(1)
	c = &Channel{Name: strings.Clone(name), node: n, kept: t.Declaration.Kept()}
	s.channels[c.Name] = c
	// A reload since t was resolved has passed this channel by.
	d := t.Declaration
	if now, ok := n.table.Load().Match(c.Name); ok && !protocol.ServerOwned(c.Name) && now.Kept() == c.kept {
		d = now
	}
	c.declaration.Store(d)
	c.log = n.broker.Open(c.Name, d)
	return c, true, nil
}

// begin asks the driver to deliver.
func (c *Channel) begin() {
	sub := c.log.Follow((*follower)(c))
	c.mu.Lock()
	c.follow = sub
	left := c.state == gone
	c.mu.Unlock()
	if left {
		sub.Close()
	}
}

func (c *Channel) join(g Nudger, ready func(*Channel, error)) bool {
	c.mu.Lock()
	if c.state == gone {
		c.mu.Unlock()
		return false
	}
	c.nudgers = append(slices.Clone(c.nudgers), g)
	wait := c.state == following
	if wait {
		c.waiting = append(c.waiting, waiting{g, ready})
	}
	c.mu.Unlock()
	if !wait {
		ready(c, nil)
	}
	return true
}

// Leave ends g's nudges. The channel goes when its last nudger leaves.
func (c *Channel) Leave(g Nudger) {
	c.mu.Lock()
	i := slices.Index(c.nudgers, g)
	if i < 0 {
		c.mu.Unlock()
		return
	}
	c.nudgers = slices.Delete(slices.Clone(c.nudgers), i, i+1)
	c.waiting = slices.DeleteFunc(c.waiting, func(w waiting) bool { return w.nudger == g })
	var sub broker.Subscription
	if len(c.nudgers) == 0 {
		c.remove()
		sub = c.follow
	}
	c.mu.Unlock()
	if sub != nil {
		sub.Close()
	}
}

// remove takes c out of the node. c.mu is held; the shard's lock nests inside
// it only here, and nobody takes c.mu under a shard's lock.
func (c *Channel) remove() {
	c.state = gone
	c.node.ringBytes.Add(-c.counted)
	c.counted = 0
	s := c.node.shardOf(c.Name)
	s.mu.Lock()
	delete(s.channels, c.Name)
	s.mu.Unlock()
	c.node.channels.Add(-1)
}

// follower is the channel as its driver sees it.
type follower Channel

// Begin implements broker.Follower.
func (f *follower) Begin(p protocol.Position, err error) {
	c := (*Channel)(f)
	c.mu.Lock()
	if c.state == gone {
		c.mu.Unlock()
		return
	}
	list := c.waiting
	c.waiting = nil
	if err == nil {
		c.ring = channel.NewRing(c.Target().Declaration, p.Offset)
		c.epoch, c.state = p.Epoch, followed
	} else {
		c.nudgers = nil
		c.remove()
	}
	c.mu.Unlock()
	for _, w := range list {
		if err != nil {
			w.ready(nil, err)
		} else {
			w.ready(c, nil)
		}
	}
}

// Entry puts e into the ring and nudges everybody.
func (f *follower) Entry(epoch string, e *channel.Entry) {
	c := (*Channel)(f)
	c.deliver(func() {
		switch {
		case e.Offset == 0:
		case epoch != c.epoch:
			c.turn(epoch, e.Prev)
		case e.Offset <= c.ring.Head().Mark:
			return // from before the position that following began at
		}
		c.put(e)
	})
	if name, ok := PresenceOf(c.Name); ok {
		c.node.attendance.observe(name, e)
	}
}

// Restart begins another epoch, after a position, and tells everybody.
func (f *follower) Restart(p protocol.Position) {
	c := (*Channel)(f)
	c.deliver(func() { c.turn(p.Epoch, p.Offset) })
}

// deliver changes the ring of a channel that is followed, and nudges everybody.
func (c *Channel) deliver(change func()) {
	c.mu.Lock()
	if c.state != followed {
		c.mu.Unlock()
		return
	}
	change()
	nudgers := c.nudgers
	if c.held {
		nudgers = nil
	}
	c.mu.Unlock()
	for _, g := range nudgers {
		g.Nudge()
	}
}

// hold keeps everybody from looking, for whoever delivers many at once, or ends
// that and tells them to look.
func (c *Channel) hold(on bool) {
	c.mu.Lock()
	c.held = on
	nudgers := c.nudgers
	c.mu.Unlock()
	if !on {
		for _, g := range nudgers {
			g.Nudge()
		}
	}
}

// turn makes the ring one of another epoch. c.mu is held.
func (c *Channel) turn(epoch string, after uint64) {
	if epoch == c.epoch {
		return
	}
	c.epoch = epoch
	c.era++
	delta := int64(c.ring.Restart(after))
	c.counted += delta
	c.node.ringBytes.Add(delta)
}

// put appends e to the ring and keeps the node's budget. c.mu is held.
func (c *Channel) put(e *channel.Entry) {
	delta := int64(c.ring.Append(e))
	if c.node.ringBytes.Load()+delta > c.node.opts.RingBytes {
		// Over the budget: this ring gives back all but its fair share.
		share := c.node.opts.RingBytes / max(1, c.node.channels.Load())
		delta += int64(c.ring.Shrink(int(share)))
	}
	c.counted += delta
	c.node.ringBytes.Add(delta)
}

// rest empties the ring if nothing has come since it was called before. Who
// still lags reads from the store what it keeps, and where it keeps nothing is
// told how much was missed.
func (c *Channel) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != followed {
		return
	}
	if head := c.ring.Head().Seq; head != c.rested {
		c.rested = head
		return
	}
	delta := int64(c.ring.Clear())
	c.counted += delta
	c.node.ringBytes.Add(delta)
}

// Target returns what the channel is declared as now.
func (c *Channel) Target() Target { return Target{c.declaration.Load()} }

// Kept reports whether the channel's messages carried offsets when it was
// followed. A reload may say otherwise by now.
func (c *Channel) Kept() bool { return c.kept }

func (c *Channel) redeclare(d *channel.Declaration) {
	c.declaration.Store(d)
	if d.Kept() == c.kept {
		c.log.Redeclare(d)
	}
	c.mu.Lock()
	if c.ring != nil {
		c.ring.SetLimit(d.Buffer)
	}
	c.mu.Unlock()
}

// Standing is where a channel stands: the epoch, how often that has changed while
// the channel was followed, and the cursor of somebody who has everything so far.
// Cursors of an earlier era are worth nothing.
type Standing struct {
	Era   uint64
	Epoch string
	Head  channel.Cursor
}

// Standing returns where the channel stands.
func (c *Channel) Standing() Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Standing{c.era, c.epoch, c.ring.Head()}
}

// Find returns the cursor after the message with that offset, if the ring can
// continue from there.
func (c *Channel) Find(offset uint64) (channel.Cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Find(offset)
}

// View returns what the ring says to a subscriber that was at since; nil: it does
// not say where it was.
func (c *Channel) View(since *protocol.Position) channel.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := channel.View{Epoch: c.epoch, Head: c.ring.Head()}
	if since == nil {
		return v
	}
	if v.At, v.Held = c.ring.Find(since.Offset); v.Held {
		if e := c.ring.After(v.At); e != nil {
			v.Next = e.Time
		}
	}
	return v
}

// Fill fills b with what comes after from, at most limit bytes of frames. When
// the ring has overtaken from, b begins (b.From) at the oldest entry held, and
// the gap is returned, nil when only ephemeral entries were lost.
func (c *Channel) Fill(b *channel.Batch, from channel.Cursor, limit int, conflate bool) *channel.Gap {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, gap, _ := c.ring.Overtaken(from)
	c.ring.Fill(b, from, limit, conflate)
	return gap
}

// Extend adds to a batch of Fill what has come since; see channel.Ring.Extend.
func (c *Channel) Extend(b *channel.Batch, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Extend(b, limit)
}

// Behind reports whether anything comes after from.
func (c *Channel) Behind(from channel.Cursor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Head().Seq > from.Seq
}

// AddSubscribers counts subscribers in (or out, with a negative n).
func (c *Channel) AddSubscribers(n int) { c.subscribers.Add(int64(n)) }

// Subscribers returns how many subscribers the channel has on this node.
func (c *Channel) Subscribers() int { return int(c.subscribers.Load()) }

// Info describes the channel.
func (c *Channel) Info() Info {
	i := Info{Name: c.Name, Subscribers: c.Subscribers()}
	if c.Target().Declaration.Kept() {
		c.mu.Lock()
		if c.ring != nil {
			i.Epoch, i.Offset = c.epoch, c.ring.Head().Mark
		}
		c.mu.Unlock()
	}
	return i
}

// open returns a handle on a channel's log.
func (n *Node) open(name string, t Target) broker.Log {
	if c := n.lookup(name); c != nil && c.kept == t.Declaration.Kept() {
		return c.log
	}
	return n.broker.Open(strings.Clone(name), t.Declaration)
}

// Read returns a page of the channel's kept past. It may block.
func (n *Node) Read(ctx context.Context, name string, t Target, r broker.Range) (broker.Page, error) {
	return n.open(name, t).Read(ctx, r)
}

// State returns a page of the latest messages of a state channel's keys. It may
// block.
func (n *Node) State(ctx context.Context, name string, t Target, r broker.StateRange) (broker.StatePage, error) {
	return n.open(name, t).State(ctx, r)
}
