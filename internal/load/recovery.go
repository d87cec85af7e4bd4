package load

import (
	"fmt"
	"time"
)

// missedRate is how many messages per second are published while their readers
// are away.
const missedRate = 20_000

// recovery has everybody in rooms that keep their messages. They are cut, miss
// some, and come back at once for them, while other rooms go on.
func (r *run) recovery() error {
	s := r.scenario
	missed, live := &tally{}, &tally{}
	channels := roomsOf("kept", s.Connections, s.RoomSize, missed)
	kept := len(channels)
	channels = append(channels, roomsOf("room", s.SmallConnections, s.RoomSize, live)...)
	for k := range channels[kept:] {
		channels[kept+k].urgent = true
	}
	if err := r.gather(channels); err != nil {
		return err
	}
	defer r.crowd.stop()
	if err := r.assemble(); err != nil {
		return err
	}
	c := r.crowd
	for k := range c.channels[:kept] {
		if c.channels[k].since == nil {
			return fmt.Errorf("load: the server gives no position to come back to")
		}
	}
	next := r.rotation(c.channels[kept:])
	toLive := r.open(s.SmallRate, func(due time.Duration) { c.publish(next(), due) })
	if err := r.drive("warm up", s.Warmup, toLive); err != nil {
		return err
	}
	var err error
	if r.result.Calm, err = r.during(live, func() error { return r.drive("measure", s.Duration, toLive) }); err != nil {
		return err
	}
	if err := r.goAway(kept, toLive); err != nil {
		return err
	}
	before, err := r.mark()
	if err != nil {
		return err
	}
	if r.result.Small, err = r.during(live, func() error { return r.comeBack(kept, toLive) }); err != nil {
		return err
	}
	after, err := r.mark()
	if err != nil {
		return err
	}
	n := float64(s.Connections)
	used := r.between(before, after)
	r.result.Waves = []Wave{{Name: "back", Seconds: used.wall.Seconds(), PerSecond: used.perSecond(n), ServerMicros: used.serverMicros(n)}}
	return r.drain()
}

// during measures the deliveries of t while fn runs.
func (r *run) during(t *tally, fn func() error) (*Delivery, error) {
	*t = tally{}
	before, err := r.mark()
	if err != nil {
		return nil, err
	}
	if err := fn(); err != nil {
		return nil, err
	}
	after, err := r.mark()
	if err != nil {
		return nil, err
	}
	return t.delivery(r.between(before, after)), nil
}

// goAway cuts the members of the first so many channels and publishes what they
// will have missed.
func (r *run) goAway(kept int, live pump) error {
	c := r.crowd
	c.cut(kept)
	total := r.scenario.Missed * kept
	for k := range c.channels[:kept] {
		c.channels[k].missed = true
	}
	published := 0
	toKept := r.open(missedRate, func(due time.Duration) {
		if published < total {
			c.publish(&c.channels[published%kept], due)
			published++
		}
	})
	// A second more, for the server to see who is gone and to have it all.
	d := time.Duration(float64(total)/missedRate*float64(time.Second)) + time.Second
	return r.drive("miss", d, func(now time.Duration) time.Duration { return min(toKept(now), live(now)) })
}

// comeBack connects who was cut, and waits until all have what they missed.
func (r *run) comeBack(kept int, live pump) error {
	c := r.crowd
	owed := func() (n int) {
		for k := range c.channels[:kept] {
			n += c.channels[k].outstanding
		}
		return n
	}
	c.eager = true
	total := owed()
	next := 0
	deadline := c.now() + patience
	for left, looked := total, time.Duration(0); left > 0; {
		if err := r.alive(); err != nil {
			return err
		}
		now := c.now()
		if now > deadline {
			return fmt.Errorf("load: after %v, %d of %d missed deliveries have not come", patience, left, total)
		}
		wake := live(now)
		c.flush()
		if err := c.openMore(&next, present, window); err != nil {
			return err
		}
		if err := c.turn(min(wake, now+5*time.Millisecond)); err != nil {
			return err
		}
		if c.now()-looked > 5*time.Millisecond { // there may be many channels to look at
			left, looked = owed(), c.now()
		}
		r.report("recover", float64(total-left)/float64(total))
	}
	return nil
}
