package load

import (
	"context"
	"fmt"
	"time"
)

// Run puts one scenario on one server and returns what it measured. progress may
// be nil; it is called on the calling goroutine, about ten times a second. Run
// connects all that it needs itself, takes a few seconds longer than the
// scenario's Warmup and Duration, and leaves no connection behind, also when ctx
// ends, a connection fails or the server refuses, all of which are errors.
//
// One Run at a time: the client's CPU time is that of this whole process.
func Run(ctx context.Context, s Scenario, t Target, progress func(Progress)) (*Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	r := &run{ctx: ctx, scenario: s, target: t, server: ProcessOf(t.PID), progress: progress}
	r.result = &Result{Server: t.Name, Scenario: s}
	var err error
	switch s.Kind {
	case Idle:
		err = r.idle()
	case Fanout:
		err = r.fanout()
	case Rooms:
		err = r.rooms()
	case Beside:
		err = r.beside()
	case Storm:
		err = r.storm()
	case Recover:
		err = r.recovery()
	}
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	return r.result, nil
}

// run is one Run under way.
type run struct {
	ctx      context.Context
	scenario Scenario
	target   Target
	server   Process
	progress func(Progress)
	reported time.Time
	result   *Result
	crowd    *crowd
}

const (
	reportEvery = 100 * time.Millisecond
	// drainFor is how long a run waits for what is still on its way, and drainQuiet
	// how long if nothing comes at all.
	drainFor   = 5 * time.Second
	drainQuiet = time.Second
	// stallAfter is when a closed loop stops waiting for what it was not sent.
	stallAfter = 3 * time.Second
)

// pump publishes what is due at a given time, and says when it next wants to be
// asked; it is asked after every batch of arrivals in any case.
type pump func(now time.Duration) (wake time.Duration)

// gather makes the crowd. The run's function has to call r.crowd.stop.
func (r *run) gather(channels []channel) error {
	var err error
	r.crowd, err = newCrowd(r.target, channels)
	return err
}

// assemble connects everybody, then subscribes everybody, and notes the price of each.
func (r *run) assemble() error {
	start, err := r.mark()
	if err != nil {
		return err
	}
	if err := r.crowd.bring(r.ctx, ready, window, r.counting("connect")); err != nil {
		return err
	}
	connected, err := r.mark()
	if err != nil {
		return err
	}
	if err := r.crowd.subscribe(r.ctx, window, r.counting("subscribe")); err != nil {
		return err
	}
	present, err := r.mark()
	if err != nil {
		return err
	}
	n := float64(len(r.crowd.members))
	connecting := r.between(start, connected)
	r.result.Connect = &Connect{
		Seconds:         connecting.wall.Seconds(),
		PerSecond:       connecting.perSecond(n),
		ServerMicros:    connecting.serverMicros(n),
		SubscribeMicros: r.between(connected, present).serverMicros(n),
		ClientMicros:    micros(connecting.client) / n,
	}
	return nil
}

// measure drives the pump through warm-up and window and fills in the result. The
// first tally becomes Delivery, a second one Small.
func (r *run) measure(p pump, tallies ...*tally) error {
	if err := r.drive("warm up", r.scenario.Warmup, p); err != nil {
		return err
	}
	for _, t := range tallies {
		*t = tally{}
	}
	before, err := r.mark()
	if err != nil {
		return err
	}
	if err := r.drive("measure", r.scenario.Duration, p); err != nil {
		return err
	}
	after, err := r.mark()
	if err != nil {
		return err
	}
	used := r.between(before, after)
	var deliveries float64
	var parts []*Delivery
	for _, t := range tallies {
		deliveries += float64(t.deliveries)
		parts = append(parts, t.delivery(used))
	}
	r.result.CPU = r.cpu(used, deliveries)
	r.result.Delivery = parts[0]
	if len(parts) > 1 {
		r.result.Small = parts[1]
	}
	return r.drain()
}

// drive runs the pump and the crowd's turns for d.
func (r *run) drive(phase string, d time.Duration, p pump) error {
	c := r.crowd
	begin := c.now()
	for now := begin; now < begin+d; now = c.now() {
		if err := r.alive(); err != nil {
			return err
		}
		wake := p(now)
		c.flush()
		if err := c.turn(min(wake, begin+d)); err != nil {
			return err
		}
		r.report(phase, float64(now-begin)/float64(d))
	}
	return nil
}

func (r *run) alive() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	return r.crowd.fault
}

// drain waits for what is still owed and takes the run's account of losses.
func (r *run) drain() error {
	c := r.crowd
	begin := c.now()
	c.lastDelivery = begin
	for now := begin; c.busy > 0 && now < begin+drainFor && now-c.lastDelivery < drainQuiet; now = c.now() {
		if err := r.alive(); err != nil {
			return err
		}
		if err := c.turn(now + drainQuiet); err != nil {
			return err
		}
		r.report("drain", float64(now-begin)/float64(drainFor))
	}
	r.result.Missing = c.missing
	r.result.Disordered = c.disordered
	r.result.Late = c.owed()
	r.result.Lost = c.lost
	if c.lostCause != nil {
		r.result.LostCause = c.lostCause.Error()
	}
	return nil
}

func (r *run) mark() (meter, error) {
	server, err := r.server.CPU()
	return meter{at: r.crowd.now(), server: server, client: ownCPU()}, err
}

func (r *run) between(a, b meter) usage {
	return usage{wall: b.at - a.at, server: b.server - a.server, client: b.client - a.client, known: r.server.pid != 0}
}

func (r *run) cpu(u usage, deliveries float64) *CPU {
	return &CPU{
		ServerPercent: 100 * u.perSecond(u.server.Seconds()),
		ServerMicros:  u.serverMicros(deliveries),
		ClientPercent: 100 * u.perSecond(u.client.Seconds()),
		ClientMicros:  u.clientMicros(deliveries),
	}
}

func (t *tally) delivery(u usage) *Delivery {
	d := &Delivery{
		Published: t.published,
		Offered:   u.perSecond(float64(t.expected)),
		Delivered: t.deliveries,
		PerSecond: u.perSecond(float64(t.deliveries)),
		Latency:   t.latency.Latency(),
	}
	if t.expected > 0 {
		d.Share = float64(t.deliveries) / float64(t.expected)
	}
	return d
}

func (r *run) report(phase string, done float64) {
	if r.progress == nil {
		return
	}
	if now := time.Now(); now.Sub(r.reported) >= reportEvery {
		r.reported = now
		r.progress(Progress{Phase: phase, Done: done})
	}
}

func (r *run) counting(phase string) func(done, total int) {
	return func(done, total int) { r.report(phase, float64(done)/float64(max(total, 1))) }
}
