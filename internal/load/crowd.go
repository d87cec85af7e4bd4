package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringdown/internal/wsframe"
)

// crowd is all client connections of a run. Slot 0 is the publisher, which
// subscribes to nothing; the others subscribe to one channel each.
//
// A member goes through its states in this order, and back to absent when it is
// cut; connect and subscribe say how far it shall go:
//
//	absent ─ dialing ─ upgrading ─ greeting ─ ready ─ subscribing ─ present
//	                              (if the dialect greets)
type crowd struct {
	wire     wire
	dialect  dialect
	upgrade  []byte // the request, alike for all
	start    time.Time
	members  []member
	channels []channel
	eager    bool // subscribe as soon as ready

	reached      [present + 1]int // how many members have got to a state or beyond
	fault        error            // why the run cannot go on
	lost         int              // present members that the server closed
	lostCause    error            // the first one's
	published    uint32           // by the publisher, over all channels
	disordered   uint64           // deliveries that came twice or out of order
	missing      uint64           // publications that a member was never sent
	busy         int              // channels with something outstanding
	lastDelivery time.Duration

	stamp   []byte // one payload
	message []byte // one outgoing message around it
	framed  []byte // and the frame around that
	queued  []byte // the publisher's frames, until flush
}

// member is one connection. There may be 19,000, so it is kept small.
type member struct {
	channel int32 // -1: none
	state   state
	at      int32  // where the stamp was in the last delivery
	next    uint32 // the sequence number that its channel owes it
	rest    []byte // the beginning of a frame whose end has not come
}

type state uint8

const (
	absent state = iota
	dialing
	upgrading
	greeting
	ready
	subscribing
	present
)

// channel is one channel and what is on its way to its members.
type channel struct {
	name        string
	members     int
	seq         uint32 // of the next publication
	outstanding int    // deliveries that are owed
	urgent      bool   // read before other channels; see wire.open
	since       []byte // where its members came in, in the dialect's words; nil: unknown
	missed      bool   // its members come back for what they missed
	tally       *tally // where its deliveries are counted; several channels may share one
}

// tally counts deliveries.
type tally struct {
	published  uint64
	expected   uint64
	deliveries uint64
	latency    Histogram
}

// publisher is the slot that publishes.
const publisher = 0

// newCrowd makes a crowd of one publisher and, for every channel, its number of
// members.
func newCrowd(t Target, channels []channel) (*crowd, error) {
	d, err := dialectNamed(t.dialectName())
	if err != nil {
		return nil, err
	}
	addr, err := t.addrPort()
	if err != nil {
		return nil, err
	}
	c := &crowd{dialect: d, upgrade: t.upgradeRequest(d), start: time.Now(), channels: channels}
	c.members = append(c.members, member{channel: -1})
	for k := range channels {
		for range channels[k].members {
			c.members = append(c.members, member{channel: int32(k)})
		}
	}
	if err := enoughDescriptors(len(c.members)); err != nil {
		return nil, err
	}
	c.wire, err = newWire(addr, len(c.members), t.plain)
	return c, err
}

func (c *crowd) stop() { c.wire.stop() }

// now is the crowd's clock: nanoseconds since it was made, monotonic.
func (c *crowd) now() time.Duration { return time.Since(c.start) }

// turn reads one batch of what has arrived, waiting for it until the given time.
// No wait is so long that a cancelled context goes unnoticed.
func (c *crowd) turn(until time.Duration) error {
	return c.wire.poll(min(until-c.now(), 100*time.Millisecond), c)
}

// bring connects members that are absent and waits until all have got to the
// wanted state, ready or present, with at most window of them under way. It
// gives up at the first one that fails.
func (c *crowd) bring(ctx context.Context, want state, window int, report func(done, total int)) error {
	c.eager = want == present
	deadline := c.now() + patience
	next := 0
	for c.reached[want] < c.wanted(want) {
		if err := c.openMore(&next, want, window); err != nil {
			return err
		}
		if err := c.await(ctx, deadline, want); err != nil {
			return err
		}
		report(c.reached[want], c.wanted(want))
	}
	return nil
}

// openMore connects members that are absent, from next on, until window of them
// are under way to the wanted state.
func (c *crowd) openMore(next *int, want state, window int) error {
	for ; *next < len(c.members) && *next-c.reachedOrPublisher(want) < window; *next++ {
		if c.members[*next].state != absent {
			continue
		}
		c.moveTo(*next, dialing)
		if err := c.wire.open(*next, c.urgent(*next)); err != nil {
			return err
		}
	}
	return nil
}

// subscribe has every ready member subscribe to its channel and waits for them.
func (c *crowd) subscribe(ctx context.Context, window int, report func(done, total int)) error {
	deadline := c.now() + patience
	next := publisher + 1
	for c.reached[present] < c.wanted(present) {
		for ; next < len(c.members) && next-1-c.reached[present] < window; next++ {
			c.askSubscription(next)
		}
		if err := c.await(ctx, deadline, present); err != nil {
			return err
		}
		report(c.reached[present], c.wanted(present))
	}
	return nil
}

// patience is how long connecting or subscribing may take altogether.
const patience = 90 * time.Second

// await is one turn of waiting for members to get to a state.
func (c *crowd) await(ctx context.Context, deadline time.Duration, want state) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.now() > deadline {
		return fmt.Errorf("load: after %v only %d of %d connections are %s", patience, c.reached[want], c.wanted(want), want)
	}
	if err := c.turn(deadline); err != nil {
		return err
	}
	if c.fault == nil && c.lost > 0 {
		return fmt.Errorf("load: the server closed %d connections before all were %s: %w", c.lost, want, c.lostCause)
	}
	return c.fault
}

// wanted is how many members get to a state; the publisher stays at ready.
func (c *crowd) wanted(want state) int {
	if want > ready {
		return len(c.members) - 1
	}
	return len(c.members)
}

func (c *crowd) urgent(i int) bool {
	ch := c.members[i].channel
	return ch >= 0 && c.channels[ch].urgent
}

// reachedOrPublisher counts the members that take no place in the window any more.
func (c *crowd) reachedOrPublisher(want state) int {
	if want > ready && c.members[publisher].state == ready {
		return c.reached[want] + 1
	}
	return c.reached[want]
}

// cut closes every member's connection with a reset.
func (c *crowd) cut() {
	for i := publisher + 1; i < len(c.members); i++ {
		c.wire.close(i)
		c.moveTo(i, absent)
	}
}

// moveTo keeps the count of how many have reached each state.
func (c *crowd) moveTo(i int, to state) {
	m := &c.members[i]
	for m.state < to {
		m.state++
		c.reached[m.state]++
	}
	for m.state > to {
		c.reached[m.state]--
		m.state--
	}
	if to == absent {
		m.rest = nil
	}
}

func (c *crowd) askSubscription(i int) {
	m := &c.members[i]
	c.moveTo(i, subscribing)
	ch := &c.channels[m.channel]
	var since []byte
	if ch.missed {
		since = ch.since
	}
	c.message = c.dialect.appendSubscribe(c.message[:0], ch.name, since)
	c.send(i, wsframe.Text, c.message)
}

func (c *crowd) send(i int, op wsframe.Opcode, payload []byte) {
	c.framed = appendFrame(c.framed[:0], op, payload)
	c.wire.write(i, c.framed)
}

// publish queues one publication that was due at the given time; flush sends it.
func (c *crowd) publish(ch *channel, due time.Duration) {
	c.stamp = appendStamp(c.stamp[:0], due, ch.seq)
	c.message = c.dialect.appendPublish(c.message[:0], ch.name, c.stamp, c.published)
	c.queued = appendFrame(c.queued, wsframe.Text, c.message)
	c.published++
	ch.seq++
	c.owe(ch, ch.members)
	ch.tally.published++
	ch.tally.expected += uint64(ch.members)
}

// flush sends what publish has queued in one write.
func (c *crowd) flush() {
	if len(c.queued) > 0 {
		c.wire.write(publisher, c.queued)
		c.queued = c.queued[:0]
	}
}

// maskingKey masks every client frame. A browser draws a new one each time, against
// proxies that mistake frames for requests; there is no proxy here, and the server's
// work is the same.
var maskingKey = [4]byte{0x52, 0x69, 0x6e, 0x67}

func appendFrame(dst []byte, op wsframe.Opcode, payload []byte) []byte {
	dst = wsframe.AppendHeader(dst, wsframe.Header{Fin: true, Masked: true, Op: op, Length: int64(len(payload)), Key: maskingKey})
	begin := len(dst)
	dst = append(dst, payload...)
	wsframe.Mask(dst[begin:], maskingKey, 0)
	return dst
}

// forgive gives up on every delivery that is still owed and counts it as missing,
// so that a closed loop goes on after a loss.
func (c *crowd) forgive() {
	for i := range c.members {
		m := &c.members[i]
		if m.channel < 0 || m.state != present {
			continue
		}
		ch := &c.channels[m.channel]
		c.missing += uint64(ch.seq - m.next)
		m.next = ch.seq
	}
	for k := range c.channels {
		c.owe(&c.channels[k], -c.channels[k].outstanding)
	}
}

// owe changes how many deliveries are owed on a channel.
func (c *crowd) owe(ch *channel, n int) {
	if ch.outstanding > 0 {
		c.busy--
	}
	ch.outstanding += n
	if ch.outstanding > 0 {
		c.busy++
	}
}

// owed is how many deliveries are still on their way.
func (c *crowd) owed() (n int) {
	for k := range c.channels {
		n += c.channels[k].outstanding
	}
	return n
}

// leave takes a member that the server has closed out of its channel's account.
func (c *crowd) leave(i int) {
	m := &c.members[i]
	ch := &c.channels[m.channel]
	c.missing += uint64(ch.seq - m.next)
	c.owe(ch, -int(ch.seq-m.next))
	ch.members--
}

var errRefused = errors.New("the server refused")
