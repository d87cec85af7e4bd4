package delivery

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// TestComeAndGo: while messages go out, some hundred members come and go between the
// steps of the sweeps. Whoever stays is told all that comes, once and in order.
func TestComeAndGo(t *testing.T) {
	t.Parallel() // it waits most of its time
	r := newRig(t, newStore(false), nil)
	const total = 600
	for loop := range r.loops {
		for range 2*sweepStep + 40 {
			r.following(loop, &Opening{Channel: "wide"})
		}
	}
	stay := r.peers
	rng := rand.New(rand.NewPCG(1, 2))
	var passing []*peer
	for n := 1; n <= total; n++ {
		r.publish("wide", fmt.Sprint(n))
		if p := r.peer(n % 2); n%3 == 0 {
			p.subscribe(&Opening{Channel: "wide"})
			passing = append(passing, p)
		}
		if n%4 == 0 && len(passing) > 3 {
			i := rng.IntN(len(passing))
			p := passing[i]
			passing[i] = passing[len(passing)-1]
			passing = passing[:len(passing)-1]
			p.do(func() {
				if len(p.sub.subs) > 0 {
					p.sub.Unsubscribe(0)
				}
				p.heard()
			})
		}
		if n%50 == 0 { // one that was there from the beginning: the last takes its place
			stay[n/2].do(func() { stay[n/2].sub.Close() })
		}
	}
	for _, p := range stay {
		if !p.sub.closed {
			p.wants("%s", words(span(1, total)))
		}
	}
	for _, p := range passing {
		r.until("it hears the last", func() (yes bool) {
			p.do(func() { p.heard(); yes = p.at["wide"] == total })
			return yes
		})
	}
	if n := r.Metrics().Deliveries.Load(); n < total*2*(2*sweepStep+30) {
		t.Errorf("%d deliveries are counted", n)
	}
}

// TestAddedToSweep: what comes while a sweep is under way goes out with it to those
// whom it has not come to, and to the others in the next round.
func TestAddedToSweep(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	for range 2 * sweepStep {
		r.following(0, &Opening{Channel: "live"})
	}
	var first, last int
	r.peers[0].do(func() {
		g := r.peers[0].sub.subs[0].group
		r.publish("live", "1")
		g.Run(nil)
		s := g.sweep
		s.Step(nil) // the loop would do it in its next turn
		r.publish("live", "2", "3")
		if g.Run(nil); g.sweep != s {
			t.Error("there are two sweeps of a group")
		}
	})
	for i, p := range r.peers {
		p.wants("1 2 3")
		if i < sweepStep {
			first += p.offered
		} else {
			last += p.offered
		}
	}
	if first != 2*sweepStep || last != sweepStep {
		t.Errorf("the first half was written to %d times, the second %d times", first, last)
	}
	if n := r.Metrics().Deliveries.Load(); n != 3*2*sweepStep {
		t.Errorf("%d deliveries are counted", n)
	}
}

// TestLargeBatches: what does not fit into one batch comes in the next.
func TestLargeBatches(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	p := r.following(0, &Opening{Channel: "wide"})
	text := `"` + strings.Repeat("x", sweepBytes*2/5) + `"`
	p.do(func() { r.publish("wide", text, text, text, text, text) })
	p.wants("%s %s %s %s %s", text, text, text, text, text)
	if p.offered != 3 {
		t.Errorf("it takes %d writes", p.offered)
	}
	p.do(func() {
		if s := r.Hub(p.loop).sweeps; len(s) != 1 || s[0].group != nil || s[0].batch.Len() != 0 {
			t.Errorf("%d sweeps are kept", len(s))
		}
	})
}

// TestCutAnywhere: a socket that is full at any byte of a batch, and takes the rest
// a little at a time, costs nobody anything.
func TestCutAnywhere(t *testing.T) {
	t.Parallel() // it waits most of its time
	for _, positions := range []bool{false, true} {
		for _, rate := range []float64{0, channel.MaxRate} {
			t.Run(fmt.Sprint("positions ", positions, " rate ", rate), func(t *testing.T) {
				r := newRig(t, newStore(false), nil)
				p := r.peer(0)
				if positions {
					p.do(func() { p.sub.KeepPositions(nil, nil, p.loop.Now()) })
				}
				p.subscribe(&Opening{Channel: "log", Rate: rate})
				want := "subscribed@0"
				if positions {
					want += "@0"
				}
				p.wants("%s", want)
				n := 0
				for room := 0; room < 400; room += 1 + room/40 + int(rate) {
					p.read(room)
					var list []string
					p.do(func() { r.publish("log", span(n+1, n+3)...) })
					for range 3 {
						n++
						if list = append(list, fmt.Sprint(n)); positions {
							list[len(list)-1] += fmt.Sprintf("@%d", n)
						}
					}
					p.read(7)
					p.read(0)
					p.read(-1)
					p.wants("%s", words(list))
				}
			})
		}
	}
}

// TestOverturned: who does not read while a ring turns over is given what the store
// keeps, a walk over a state, or a gap; and so is who is held up between two sweeps.
func TestOverturned(t *testing.T) {
	keyed := func(from, to int) (texts []string) {
		for n := from; n <= to; n++ {
			texts = append(texts, fmt.Sprintf("k%d=%d", n%3, n))
		}
		return texts
	}
	for _, c := range []struct {
		channel string
		texts   []string
		full    string // whose socket was full, at 2
		swept   string // of whom nothing was asked
	}{
		{"live", span(3, 30), "2 slow(20) 23 24 25 26 27 28 29 30", "1 2 slow(20) 23 24 25 26 27 28 29 30"},
		{"log", span(3, 30), "2 " + words(span(3, 30)), words(span(1, 30))},
		{"trim", span(3, 30), "2 trimmed(3-20) " + words(span(21, 30)), "1 2 trimmed(3-20) " + words(span(21, 30))},
		{"both", append(keyed(3, 30), "k1=null"), "k1=2 " + words(keyed(3, 30)) + " k1=null", "k2=1 k1=2 " + words(keyed(3, 30)) + " k1=null"},
		{"board", append(keyed(3, 30), "k1=null"), "k1=2 k2=29 k0=30 k1=null", "k2=1 k1=2 k2=29 k0=30 k1=null"},
	} {
		t.Run(c.channel, func(t *testing.T) {
			r := newRig(t, newStore(false), nil)
			full, swept := r.following(0, &Opening{Channel: c.channel}), r.following(0, &Opening{Channel: c.channel})
			first := span(1, 2)
			if strings.Contains(c.full, "=") {
				first = []string{"k2=1", "k1=2"}
			}
			r.publish(c.channel, first[0])
			full.wants("%s", first[0])
			full.read(3)
			r.publish(c.channel, first[1])
			r.idle()
			full.do(func() { r.publish(c.channel, c.texts...) })
			swept.wants("%s", c.swept)
			full.read(0)
			full.read(5)
			full.read(-1)
			full.wants("%s", c.full)
			r.publish(c.channel, "k4=4")
			full.wants("k4=4")
			swept.wants("k4=4")
		})
	}
}

// TestHole: what the feed has left out is in the store, or told of.
func TestHole(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	for name, want := range map[string]string{"log": words(span(1, 6)), "trim": words(span(1, 6)), "board": "a=1 b=4 c=6"} {
		p := r.following(0, &Opening{Channel: name})
		one := func(text, keyed string) {
			if name == "board" {
				text = keyed
			}
			r.publish(name, text)
		}
		one("1", "a=1")
		r.idle()
		r.store.lose(true)
		one("2", "b=2")
		one("3", "c=3")
		one("4", "b=4")
		one("5", "c=5")
		r.store.lose(false)
		one("6", "c=6")
		p.wants("%s", want)
	}
}

// TestPanic: a sink that panics costs itself, whatever it panics in and whoever
// else is served in the same step.
func TestPanic(t *testing.T) {
	for _, c := range []struct {
		method string
		lags   bool // so that it is pulled for
	}{{"Offer", false}, {"Offer", true}, {"AppendEvent", false}, {"AppendEvent", true}, {"Send", true}} {
		t.Run(fmt.Sprint(c.method, " lagging ", c.lags), func(t *testing.T) {
			r := newRig(t, newStore(false), nil)
			for range 5 {
				r.following(0, &Opening{Channel: "live"})
			}
			bad := r.peers[2]
			if c.method == "AppendEvent" {
				bad.do(func() { bad.sub.KeepPositions(nil, nil, bad.loop.Now()); bad.sub.track(0, 0, "") })
			}
			bad.do(func() { bad.broken = c.method })
			want := "1"
			if c.lags {
				for _, p := range r.peers {
					p.read(0)
				}
				if bad.do(func() { bad.queue = []byte(" ") }); c.method == "Send" {
					want = "1 slow(1) " + words(span(3, 10))
				}
			}
			r.publish("live", "1")
			if c.lags {
				r.idle()
			}
			if c.method == "Send" {
				r.publish("live", span(2, 10)...)
				r.idle()
			}
			for _, p := range r.peers {
				p.read(-1)
			}
			for _, p := range r.peers {
				if p != bad {
					p.wants("%s", want)
				}
			}
			r.until("it was ended", func() (yes bool) { bad.do(func() { yes = bad.sub.closed }); return yes })
			r.publish("live", "11")
			r.peers[4].wants("11")
			r.peers[0].wants("11")
			r.peers[1].wants("11")
			r.peers[3].wants("11")
		})
	}
}

// TestPanicOfNobody is told in the log.
func TestPanicOfNobody(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	r.on(r.loops[0], func() { r.Hub(r.loops[0]).panicked(nil, "planted") })
	if r.fails = true; !strings.Contains(r.log.String(), "planted") {
		t.Error(r.log.String())
	}
}

// TestClosedByWrite: a sink that fails when it is written to ends its subscriber in the
// middle of a delivery.
func TestClosedByWrite(t *testing.T) {
	for _, positions := range []bool{false, true} {
		for _, lags := range []bool{false, true} {
			t.Run(fmt.Sprint("positions ", positions, " lagging ", lags), func(t *testing.T) {
				r := newRig(t, newStore(false), nil)
				p, others := r.peer(0), r.peer(0)
				if positions {
					p.do(func() { p.sub.KeepPositions(nil, nil, p.loop.Now()) })
				}
				p.subscribe(&Opening{Channel: "live"})
				others.subscribe(&Opening{Channel: "live"})
				others.wants("subscribed")
				p.do(func() {
					if p.closes = true; lags {
						p.queue = []byte(" ")
					}
				})
				r.publish("live", "1", "2")
				others.wants("1 2")
				r.idle()
				p.read(-1)
				r.until("it has ended", func() (yes bool) { p.do(func() { yes = p.sub.closed }); return yes })
				if p.offered != 1 || p.shared != 0 {
					t.Errorf("it was written to %d times", p.offered+p.shared)
				}
				if n := r.Metrics().Deliveries.Load(); n > 4 {
					t.Errorf("%d deliveries", n)
				}
			})
		}
	}
}

// TestTakenAfterAll: a socket that takes the rest of a frame after all is blocked by
// nothing, and nothing tells of that.
func TestTakenAfterAll(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	p := r.following(0, &Opening{Channel: "log"})
	p.do(func() { p.room, p.taker = 9, true; r.publish("log", span(1, 3)...) })
	p.wants("1 2 3")
}

// TestSweepAllocations is the budget of the way from the feed to a hundred sinks:
// nothing. The entry and its bytes are the publication's.
func TestSweepAllocations(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	sinks := make([]nullSink, 100)
	l := r.loops[0]
	o := make([]Opening, len(sinks))
	r.on(l, func() {
		for i := range sinks {
			sinks[i].sub.Init(r.Hub(l), &sinks[i])
			o[i].Channel = "live"
			o[i].Target.Declaration, _ = r.node.Table().Match("live")
			sinks[i].sub.Subscribe(&o[i], func(error) {})
		}
	})
	r.idle()
	entry := channel.NewEntry(&protocol.Message{Type: "e", Channel: "live", Data: []byte(`"hello"`)}, false)
	const runs = 1000
	feed, swept := r.store.taps["live"].Follower, &rest{done: make(chan struct{}, 1)}
	r.on(l, func() { swept.group = r.Hub(l).groups["live"] })
	n := testing.AllocsPerRun(runs, func() {
		for range 3 {
			feed.Entry("", entry)
		}
		l.Post(swept)
		<-swept.done
	})
	if n != 0 {
		t.Errorf("a sweep allocates %v times", n)
	}
	r.idle()
	for i := range sinks {
		if want := 3 * (runs + 1) * len(entry.Frame(channel.FormText)); sinks[i].taken != want {
			t.Errorf("a sink took %d bytes and not %d", sinks[i].taken, want)
		}
		r.on(l, func() { sinks[i].sub.Close() })
	}
}

// rest is a task that waits until a group has given all that it has.
type rest struct {
	group *group
	done  chan struct{}
}

func (w *rest) Run(l *reactor.Loop) {
	if w.group.sweep != nil || w.group.dirty.Load() {
		l.Post(w)
	} else {
		w.done <- struct{}{}
	}
}

// nullSink takes everything and keeps nothing.
type nullSink struct {
	Sink
	sub   Subscriber
	taken int
}

func (s *nullSink) Form() channel.Form      { return channel.FormText }
func (s *nullSink) Offer(frames []byte) int { s.taken += len(frames); return len(frames) }
func (s *nullSink) Send(event.Event)        {}
func (s *nullSink) Blocked() bool           { return false }

// TestSubscribersAreCounted: a channel knows how many it has while some come and go.
func TestSubscribersAreCounted(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	var peers []*peer
	for i := range 3 {
		peers = append(peers, r.following(i%2, &Opening{Channel: "live"}))
	}
	count := func() (n int) {
		peers[0].do(func() { n = peers[0].sub.subs[0].group.channel.Subscribers() })
		return n
	}
	if n := count(); n != 3 {
		t.Errorf("%d subscribers of 3", n)
	}
	peers[1].do(func() { peers[1].sub.Unsubscribe(0) })
	peers[2].do(func() { peers[2].sub.Close() })
	if n := count(); n != 1 {
		t.Errorf("%d subscribers of 1", n)
	}
}
