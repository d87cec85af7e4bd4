package load

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// missedRate is how many messages per second are published while their readers
// are away.
const missedRate = 20_000

// recovery has everybody in rooms that keep their messages. They are cut, miss
// some, and come back at once for them, while other rooms go on.
//
// The others have a client thread of their own: what it costs a client's machine
// that 10,000 of its connections come back is not what the server does to them.
func (r *run) recovery() error {
	s := r.scenario
	if err := r.gather(roomsOf("kept", s.Connections, s.RoomSize, &tally{})); err != nil {
		return err
	}
	defer r.crowd.stop()
	live := &tally{}
	others := &run{ctx: r.ctx, scenario: s, target: r.target, server: r.server, result: &Result{}}
	if err := others.gather(roomsOf("room", s.SmallConnections, s.RoomSize, live)); err != nil {
		return err
	}
	defer others.crowd.stop()
	if err := errors.Join(others.assemble(), r.assemble()); err != nil {
		return err
	}
	for _, ch := range r.crowd.channels {
		if ch.since == nil {
			return fmt.Errorf("load: the server gives no position to come back to")
		}
	}
	var err error
	if r.result.Calm, err = others.meanwhile(live, func() error { return r.drive("measure", s.Duration, never) }); err != nil {
		return err
	}
	if err := r.goAway(); err != nil {
		return err
	}
	var used usage
	r.result.Small, err = others.meanwhile(live, func() error {
		before, err := r.mark()
		if err != nil {
			return err
		}
		if err := r.comeBack(); err != nil {
			return err
		}
		after, err := r.mark()
		used = r.between(before, after)
		return err
	})
	if err != nil {
		return err
	}
	n := float64(s.Connections)
	r.result.Waves = []Wave{{Name: "back", Seconds: used.wall.Seconds(), PerSecond: used.perSecond(n), ServerMicros: used.serverMicros(n)}}
	if err := errors.Join(others.drain(), r.drain()); err != nil {
		return err
	}
	r.result.add(others.result)
	return nil
}

// meanwhile runs fn while this run goes on with its rooms on a thread of its own,
// and measures the deliveries, which all count in t.
func (r *run) meanwhile(t *tally, fn func() error) (d *Delivery, err error) {
	stop, going, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		next := r.rotation(r.crowd.channels)
		pump := r.open(r.scenario.SmallRate, func(due time.Duration) { r.crowd.publish(next(), due) })
		err := r.drive("", r.scenario.Warmup, pump)
		*t = tally{}
		close(going)
		for err == nil {
			select {
			case <-stop:
				done <- nil
				return
			default:
				err = r.drive("", reportEvery, pump)
			}
		}
		done <- err
	}()
	<-going
	before, err := r.mark()
	if err != nil {
		return nil, errors.Join(err, end(stop, done))
	}
	err = fn()
	after, markErr := r.mark()
	if err := errors.Join(err, markErr, end(stop, done)); err != nil {
		return nil, err
	}
	return t.delivery(r.between(before, after)), nil
}

func end(stop chan struct{}, done chan error) error {
	close(stop)
	return <-done
}

// goAway cuts all members and publishes what they will have missed.
func (r *run) goAway() error {
	c := r.crowd
	c.cut()
	total := r.scenario.Missed * len(c.channels)
	for k := range c.channels {
		c.channels[k].missed = true
	}
	published := 0
	next := r.rotation(c.channels)
	toKept := r.open(missedRate, func(due time.Duration) {
		if published < total {
			c.publish(next(), due)
			published++
		}
	})
	// A second more, for the server to see who is gone and to have it all.
	d := time.Duration(float64(total)/missedRate*float64(time.Second)) + time.Second
	return r.drive("miss", d, toKept)
}

// comeBack connects who was cut, and waits until all have what they missed.
func (r *run) comeBack() error {
	c := r.crowd
	c.eager = true
	total := c.owed()
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
		if err := c.openMore(&next, present, window); err != nil {
			return err
		}
		if err := c.turn(now + 5*time.Millisecond); err != nil {
			return err
		}
		if c.now()-looked > 5*time.Millisecond { // there may be many channels to look at
			left, looked = c.owed(), c.now()
		}
		r.report("recover", float64(total-left)/float64(total))
	}
	return nil
}
