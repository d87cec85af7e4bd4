package node

import (
	"context"
	"slices"
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

// Channel is a channel that somebody on this node follows.
type Channel struct {
	Name string
	node *Node

	subscribers atomic.Int64
	declaration atomic.Pointer[channel.Declaration]
	kept        atomic.Bool

	mu      sync.Mutex
	ring    *channel.Ring // nil until the broker answered
	epoch   string
	era     uint64   // how often the epoch changed while somebody here followed
	nudgers []Nudger // copied on change, so that append can walk it unlocked
	state   followState
	opening *opening // until the broker answered
	counted int64    // what ring holds, as counted in node.ringBytes
	hushed  bool     // nobody is nudged until it ends
	rested  uint64   // the newest sequence when rest last looked
}

// opening is what comes together while the broker is asked.
type opening struct {
	waiting []func(error)
	early   []early // delivered before the broker said from where
}

// early is what the feed delivered of a channel that is not followed yet.
type early struct {
	epoch string
	entry *channel.Entry // nil: the epoch began, after offset
	after uint64
}

type followState uint8

const (
	following followState = iota // asked the broker, waiting
	followed
	gone // no longer in the node's map
)

// Follow calls ready once, with the channel of that name when the feed delivers
// it here and g is nudged by it, or with an error. The caller must call Leave
// with the same g in the end. ready is called on any goroutine, perhaps before
// Follow returns, and with no lock held.
func (n *Node) Follow(name string, t Target, g Nudger, ready func(*Channel, error)) {
	for {
		c, made, err := n.channel(name, t)
		if err != nil {
			ready(nil, err)
			return
		}
		if !c.join(g, ready) {
			continue // it went away between the look-up and the join
		}
		if made {
			n.broker.Follow(c.Name, t.Declaration, c.followed)
		}
		return
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
	c = &Channel{Name: string([]byte(name)), node: n, opening: &opening{}}
	c.declaration.Store(t.Declaration)
	s.channels[c.Name] = c
	return c, true, nil
}

func (c *Channel) join(g Nudger, ready func(*Channel, error)) bool {
	c.mu.Lock()
	switch c.state {
	case gone:
		c.mu.Unlock()
		return false
	case following:
		c.nudgers = append(slices.Clone(c.nudgers), g)
		c.opening.waiting = append(c.opening.waiting, func(err error) {
			if err != nil {
				ready(nil, err)
				return
			}
			ready(c, nil)
		})
		c.mu.Unlock()
	default:
		c.nudgers = append(slices.Clone(c.nudgers), g)
		c.mu.Unlock()
		ready(c, nil)
	}
	return true
}

// followed is the broker's answer to Follow.
func (c *Channel) followed(p protocol.Position, err error) {
	c.mu.Lock()
	o := c.opening
	c.opening = nil
	if err == nil {
		c.ring = channel.NewRing(c.Target().Declaration, p.Offset)
		c.kept.Store(c.Target().Declaration.Kept())
		c.epoch = p.Epoch
		c.state = followed
		for _, e := range o.early {
			c.take(e)
		}
	}
	abandoned := err == nil && len(c.nudgers) == 0
	if err != nil || abandoned {
		c.nudgers = nil
		c.remove()
	}
	c.mu.Unlock()
	if abandoned {
		c.node.broker.Unfollow(c.Name)
	}
	for _, fn := range o.waiting {
		fn(err)
	}
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
	last := len(c.nudgers) == 0 && c.state == followed
	if last {
		c.remove()
	}
	c.mu.Unlock()
	if last {
		c.node.broker.Unfollow(c.Name)
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

// append puts e into the ring and nudges everybody.
func (c *Channel) append(epoch string, e *channel.Entry) { c.deliver(early{epoch: epoch, entry: e}) }

// restart begins another epoch, after a position, and tells everybody.
func (c *Channel) restart(p protocol.Position) {
	c.deliver(early{epoch: p.Epoch, after: p.Offset})
}

func (c *Channel) deliver(e early) {
	c.mu.Lock()
	if c.state == following {
		c.opening.early = append(c.opening.early, e)
	}
	if c.state != followed {
		c.mu.Unlock()
		return
	}
	c.take(e)
	nudgers := c.nudgers
	if c.hushed {
		nudgers = nil
	}
	c.mu.Unlock()
	for _, g := range nudgers {
		g.Nudge()
	}
}

// hush keeps everybody from looking, for whoever delivers many at once, or ends
// that and tells them to look.
func (c *Channel) hush(on bool) {
	c.mu.Lock()
	c.hushed = on
	nudgers := c.nudgers
	c.mu.Unlock()
	if !on {
		for _, g := range nudgers {
			g.Nudge()
		}
	}
}

// take is what deliver does of a followed channel. c.mu is held.
func (c *Channel) take(e early) {
	switch {
	case e.entry == nil:
		c.begin(e.epoch, e.after)
		return
	case e.entry.Offset == 0:
		c.put(e.entry)
		return
	case e.epoch != c.epoch:
		c.begin(e.epoch, e.entry.Prev)
	case e.entry.Offset <= c.ring.Head().Mark:
		return // from before the position that following began at
	}
	c.put(e.entry)
}

// begin makes the ring one of another epoch. c.mu is held.
func (c *Channel) begin(epoch string, after uint64) {
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
func (c *Channel) Kept() bool { return c.kept.Load() }

func (c *Channel) redeclare(d *channel.Declaration) {
	c.declaration.Store(d)
	c.mu.Lock()
	if c.ring != nil {
		c.ring.SetLimit(d.Buffer)
	}
	c.mu.Unlock()
}

// Position returns where the channel stands: the epoch, and the cursor of
// somebody who has everything so far.
func (c *Channel) Position() (epoch string, head channel.Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch, c.ring.Head()
}

// Era returns how often the epoch has changed while the channel was followed:
// cursors from before the last change are worth nothing.
func (c *Channel) Era() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.era
}

// Find returns the cursor after the message with that offset, if the ring can
// continue from there.
func (c *Channel) Find(offset uint64) (channel.Cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Find(offset)
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

// Read returns a page of the channel's kept past. It may block.
func (n *Node) Read(ctx context.Context, name string, t Target, r broker.Range) (broker.Page, error) {
	return n.broker.Read(ctx, name, t.Declaration, r)
}

// State returns a page of the latest messages of a state channel's keys. It may
// block.
func (n *Node) State(ctx context.Context, name string, t Target, r broker.StateRange) (broker.StatePage, error) {
	return n.broker.State(ctx, name, t.Declaration, r)
}
