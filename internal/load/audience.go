package load

import (
	"context"
	"fmt"
	"time"

	"ringdown/internal/wsframe"
)

// audience is the users of one Follow, each with a connection of its own, and in slot
// 0 the publisher. As a crowd, all of it belongs to one goroutine.
//
// A user is absent, dialing, subscribing once its first request is out, and
// present once that was answered. Nothing is published before all are present, so
// each user is owed every update from number 0 on.
type audience struct {
	wire      wire
	ways      [2]way // of the publisher, and of the users
	host      string
	headers   string
	start     time.Time
	users     []user
	present   int
	silent    bool          // nothing is published any more
	due       time.Duration // of the next update
	every     time.Duration // how often each user asks; 0: when it likes
	turn      int           // of polls sent; the next is of user turn modulo all
	begun     time.Duration // of the first poll
	fault     error
	lost      int
	lostCause error

	counts
	skipped    uint64
	disordered uint64
	gone       uint64 // updates that a user was not given although later ones came
	latency    Histogram

	message []byte // one outgoing message
	framed  []byte // what is written
}

// counts are what is counted all the time, and read before and after the measured time.
type counts struct {
	published, delivered     uint64
	sent, received, requests uint64
}

// user is one of the audience.
type user struct {
	state   state
	headed  bool   // the head of the answer that does not end is there
	waiting bool   // for an answer
	next    uint32 // the number of the next update
	at      int32  // where the stamp was in the last delivery
	after   uint64 // of a short poll: the last offset
	cursor  []byte // of a long-poll
	token   string
	rest    []byte // what has come of something that is not whole
}

// way is how users follow.
type way interface {
	// ask appends the next request of a user.
	ask(dst []byte, a *audience, u *user) []byte
	// take reads what is whole at the beginning of p, and returns how long it was.
	take(a *audience, i int, p []byte, now time.Duration) (used int, err error)
}

func newAudience(f Following, t Target) (*audience, error) {
	addr, err := t.addrPort()
	if err != nil {
		return nil, err
	}
	if err := enoughDescriptors(f.Users + 1); err != nil {
		return nil, err
	}
	ways := map[Way]way{ShortPoll: shortPoll{}, LongPoll: longPoll{}, SSE: eventStream{}, WebSocket: socket{}}
	a := &audience{ways: [2]way{socket{publishes: true}, ways[f.Way]}, host: t.Addr, headers: f.Headers, start: time.Now(),
		users: make([]user, f.Users+1), every: f.Every}
	for i := range a.users {
		if a.users[i].token, err = f.Token(i); err != nil {
			return nil, fmt.Errorf("load: the token of user %d: %w", i, err)
		}
	}
	a.wire, err = newWire(addr, len(a.users), t.plain)
	return a, err
}

func (a *audience) now() time.Duration { return time.Since(a.start) }

func (a *audience) wayOf(i int) way { return a.ways[min(i, 1)] }

// assemble connects all, at most window of them under way at once.
func (a *audience) assemble(ctx context.Context, progress func(Progress)) error {
	report := a.part(progress, "connect")
	deadline := a.now() + patience
	for next := 0; a.present < len(a.users); {
		for ; next < len(a.users) && next-a.present < window; next++ {
			a.users[next].state = dialing
			if err := a.wire.open(next, false); err != nil {
				return err
			}
		}
		if err := a.poll(ctx, deadline); err != nil {
			return err
		}
		if a.lost > 0 {
			return fmt.Errorf("load: the server closed a connection: %w", a.lostCause)
		}
		if a.now() > deadline {
			return fmt.Errorf("load: after %v only %d of %d users follow", patience, a.present, len(a.users))
		}
		report(float64(a.present) / float64(len(a.users)))
	}
	// Half a second later, so that no update is due at the edge of a window.
	a.begun = a.now()
	a.due = a.begun + time.Second/2
	return nil
}

// poll takes one batch of what has arrived, waiting for it until the given time.
func (a *audience) poll(ctx context.Context, until time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.fault != nil {
		return a.fault
	}
	return a.wire.poll(min(until-a.now(), 100*time.Millisecond), a)
}

// drive publishes, and has users ask whose turn it is, for d.
func (a *audience) drive(ctx context.Context, d time.Duration, report func(float64)) error {
	begin := a.now()
	for now := begin; now < begin+d; now = a.now() {
		if err := a.poll(ctx, min(a.pump(now), begin+d)); err != nil {
			return err
		}
		report(float64(now-begin) / float64(d))
	}
	return a.fault
}

// drain goes on without publishing until everybody has everything.
func (a *audience) drain(ctx context.Context, d time.Duration, report func(float64)) error {
	begin := a.now()
	for now := begin; now < begin+d && a.owed() > 0; now = a.now() {
		if err := a.poll(ctx, min(a.pump(now), begin+d)); err != nil {
			return err
		}
		report(float64(now-begin) / float64(d))
	}
	return a.fault
}

// pump does what is due, and returns when something is due again.
func (a *audience) pump(now time.Duration) (wake time.Duration) {
	wake = eternity
	if !a.silent {
		for ; a.due <= now; a.due += time.Second {
			a.publish(a.due)
		}
		wake = a.due
	}
	if a.every == 0 {
		return wake
	}
	// The users' moments are spread evenly over the period.
	all := len(a.users) - 1
	for {
		next := a.begun + time.Duration(a.turn/all)*a.every + time.Duration(a.turn%all)*a.every/time.Duration(all)
		if next > now {
			return min(wake, next)
		}
		i := 1 + a.turn%all
		a.turn++
		if a.users[i].waiting {
			a.skipped++
			continue
		}
		a.ask(i)
	}
}

func (a *audience) publish(due time.Duration) {
	stamp := appendStamp(nil, due, uint32(a.published))
	a.message = appendEvent(a.message[:0], FollowChannel, stamp)
	a.sendFrame(publisher, wsframe.Text, a.message)
	a.published++
}

// ask sends the next request of a user.
func (a *audience) ask(i int) {
	u := &a.users[i]
	if u.state == absent {
		return
	}
	u.waiting = true
	a.framed = a.wayOf(i).ask(a.framed[:0], a, u)
	a.write(i, a.framed)
	if i != publisher {
		a.requests++
	}
}

func (a *audience) write(i int, p []byte) {
	if i != publisher {
		a.sent += uint64(len(p))
	}
	a.wire.write(i, p)
}

func (a *audience) sendFrame(i int, op wsframe.Opcode, payload []byte) {
	a.framed = appendFrame(a.framed[:0], op, payload)
	a.write(i, a.framed)
}

// opened, data and closed are what the wire calls.
func (a *audience) opened(i int) {
	a.users[i].state = subscribing
	a.ask(i)
}

func (a *audience) data(i int, p []byte) {
	u := &a.users[i]
	if i != publisher {
		a.received += uint64(len(p))
	}
	if len(u.rest) > 0 {
		u.rest = append(u.rest, p...)
		p = u.rest
	}
	now := a.now()
	for len(p) > 0 && u.state != absent {
		used, err := a.wayOf(i).take(a, i, p, now)
		if err != nil {
			a.wire.close(i)
			a.closed(i, err)
			return
		}
		if used == 0 {
			break
		}
		p = p[used:]
	}
	u.rest = append(u.rest[:0], p...)
}

func (a *audience) closed(i int, err error) {
	u := &a.users[i]
	if a.fault == nil && (u.state != present || i == publisher) {
		a.fault = fmt.Errorf("load: user %d failed while %s: %w", i, u.state, err)
	}
	u.state, u.rest = absent, nil
	if a.lost++; a.lostCause == nil {
		a.lostCause = err
	}
}

// arrive notes that a user follows.
func (a *audience) arrive(u *user) {
	if u.state != present {
		u.state = present
		a.present++
	}
}

// deliveries accounts for all updates in p.
func (a *audience) deliveries(u *user, p []byte, now time.Duration) {
	for {
		at := findStamp(p, int(u.at))
		if at < 0 {
			return
		}
		u.at = int32(at)
		due, seq, ok := readStamp(p[at:])
		if ok && seq >= u.next {
			a.gone += uint64(seq - u.next)
			u.next = seq + 1
			a.delivered++
			a.latency.Record(now - due)
		} else {
			a.disordered++
		}
		p = p[at+PayloadBytes:]
	}
}

// owed is how many updates are still to come.
func (a *audience) owed() (n uint64) {
	for i := range a.users[1:] {
		n += a.published - uint64(a.users[1+i].next)
	}
	return n
}
