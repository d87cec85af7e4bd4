package load

import (
	"fmt"
	"math"
	"time"
)

// This file is the kinds of scenario: who subscribes to what, and when
// something is published.

// idle weighs the server, fills it with connections and weighs it again.
func (r *run) idle() error {
	empty, before, err := r.weigh()
	if err != nil {
		return err
	}
	silent := &tally{}
	if err := r.gather([]channel{{name: "bench", members: r.scenario.Connections, tally: silent}}); err != nil {
		return err
	}
	defer r.crowd.stop()
	if err := r.assemble(); err != nil {
		return err
	}
	full, after, err := r.weigh()
	if err != nil {
		return err
	}
	if r.target.PID != 0 {
		n := float64(len(r.crowd.members))
		r.result.Memory = &Memory{StartBytes: empty, LoadedBytes: full, PerConnection: float64(full-empty) / n}
		if before.HeapObjects != nil && after.HeapObjects != nil {
			objects := (*after.HeapObjects - *before.HeapObjects) / n
			r.result.Memory.ObjectsPerConnection = &objects
		}
	}
	return r.watch()
}

// watch reads what idle connections cost in CPU: heartbeats, timers.
func (r *run) watch() error {
	before, err := r.mark()
	if err != nil {
		return err
	}
	if err := r.drive("measure", r.scenario.Duration, never); err != nil {
		return err
	}
	after, err := r.mark()
	if err != nil {
		return err
	}
	r.result.CPU = r.cpu(r.between(before, after), 0)
	return r.drain()
}

// weigh has the server settle and reads its size.
func (r *run) weigh() (int64, settled, error) {
	r.report("settle", 0)
	s, err := r.target.settle(r.ctx)
	if err != nil {
		return 0, s, err
	}
	bytes, err := r.server.Memory()
	return bytes, s, err
}

// fanout has one channel with everybody on it.
func (r *run) fanout() error {
	s := r.scenario
	t := &tally{}
	if err := r.gather([]channel{{name: "bench", members: s.Connections, tally: t}}); err != nil {
		return err
	}
	defer r.crowd.stop()
	if err := r.assemble(); err != nil {
		return err
	}
	ch := &r.crowd.channels[0]
	if s.Rate == 0 {
		return r.measure(r.closed(1, func(now time.Duration) {
			for range s.Burst {
				r.crowd.publish(ch, now)
			}
		}), t)
	}
	return r.measure(r.open(s.Rate, func(due time.Duration) { r.crowd.publish(ch, due) }), t)
}

// rooms has many channels with a few connections each.
func (r *run) rooms() error {
	s := r.scenario
	t := &tally{}
	channels := roomsOf("room", s.Connections, s.RoomSize, t)
	if err := r.gather(channels); err != nil {
		return err
	}
	defer r.crowd.stop()
	if err := r.assemble(); err != nil {
		return err
	}
	next := r.rotation(r.crowd.channels)
	if s.Rate == 0 {
		return r.measure(r.closed(min(s.InFlight, len(channels)), func(now time.Duration) {
			ch := next()
			for ch.outstanding > 0 {
				ch = next() // fewer are busy than there are, or closed would not ask
			}
			r.crowd.publish(ch, now)
		}), t)
	}
	return r.measure(r.open(s.Rate, func(due time.Duration) { r.crowd.publish(next(), due) }), t)
}

// beside has one large channel and a few small ones, whose members are read first.
func (r *run) beside() error {
	s := r.scenario
	large, small := &tally{}, &tally{}
	channels := append([]channel{{name: "bench", members: s.Connections, tally: large}},
		roomsOf("room", s.SmallConnections, s.RoomSize, small)...)
	for k := range channels[1:] {
		channels[1+k].urgent = true
	}
	if err := r.gather(channels); err != nil {
		return err
	}
	defer r.crowd.stop()
	if err := r.assemble(); err != nil {
		return err
	}
	next := r.rotation(r.crowd.channels[1:])
	toLarge := r.open(s.Rate, func(due time.Duration) { r.crowd.publish(&r.crowd.channels[0], due) })
	toSmall := r.open(s.SmallRate, func(due time.Duration) { r.crowd.publish(next(), due) })
	return r.measure(func(now time.Duration) time.Duration {
		return min(toSmall(now), toLarge(now))
	}, large, small)
}

// storm connects everybody at once, cuts them and has them come back.
func (r *run) storm() error {
	silent := &tally{}
	if err := r.gather([]channel{{name: "bench", members: r.scenario.Connections, tally: silent}}); err != nil {
		return err
	}
	defer r.crowd.stop()
	for _, name := range []string{"first", "again"} {
		before, err := r.mark()
		if err != nil {
			return err
		}
		if name == "again" {
			r.crowd.cut() // what the server does about it is part of the price
		}
		if err := r.crowd.bring(r.ctx, present, window, r.counting(name)); err != nil {
			return fmt.Errorf("%s wave: %w", name, err)
		}
		after, err := r.mark()
		if err != nil {
			return err
		}
		n := float64(r.scenario.Connections)
		used := r.between(before, after)
		r.result.Waves = append(r.result.Waves, Wave{
			Name: name, Seconds: used.wall.Seconds(), PerSecond: used.perSecond(n), ServerMicros: used.serverMicros(n),
		})
	}
	return r.drain()
}

// roomsOf spreads connections over channels of the given size; the last one may be smaller.
func roomsOf(name string, connections, size int, t *tally) []channel {
	var channels []channel
	for left := connections; left > 0; left -= size {
		channels = append(channels, channel{
			name: fmt.Sprintf("%s:%d", name, len(channels)), members: min(left, size), tally: t,
		})
	}
	return channels
}

// rotation returns the given channels in turn, for ever.
func (r *run) rotation(channels []channel) func() *channel {
	k := -1
	return func() *channel {
		k = (k + 1) % len(channels)
		return &channels[k]
	}
}

const eternity = time.Duration(math.MaxInt64)

// never is the pump that publishes nothing.
func never(time.Duration) time.Duration { return eternity }

// closed publishes whenever fewer channels than inFlight have something on its
// way. What a server loses it would wait for in vain, so it stops waiting.
func (r *run) closed(inFlight int, publish func(now time.Duration)) pump {
	return func(now time.Duration) time.Duration {
		c := r.crowd
		if c.busy > 0 && now-c.lastDelivery > stallAfter {
			c.forgive()
		}
		if c.busy == 0 {
			c.lastDelivery = now // the wait begins here
		}
		for range inFlight - c.busy {
			publish(now)
		}
		return now + stallAfter
	}
}

// open publishes at a fixed rate, whatever has become of earlier publications. It
// begins half a period late, so that no publication is due at the very edge of a
// window of whole seconds, where its deliveries would count for neither side.
func (r *run) open(rate float64, publish func(due time.Duration)) pump {
	every := time.Duration(float64(time.Second) / rate)
	next := r.crowd.now() + every/2
	return func(now time.Duration) time.Duration {
		for ; next <= now; next += every {
			publish(next)
		}
		return next
	}
}
