package delivery

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// stores runs a test over a store that answers at once and one that does not.
func stores(t *testing.T, test func(t *testing.T, s *store)) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("late ", late), func(t *testing.T) { test(t, newStore(late)) })
	}
}

func since(at protocol.Position, offset uint64) channel.Want {
	return channel.Want{Since: &protocol.Position{Epoch: at.Epoch, Offset: offset}}
}

func given(w channel.Want, offset uint64) channel.Want { w.Given = &offset; return w }

// TestOpening: where a subscription begins, and what it is given from there on. Of
// 30 messages the ring holds the last few, and the store the last ten.
func TestOpening(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		at := map[string]protocol.Position{}
		for _, name := range []string{"live", "trim", "board"} {
			r.following(0, &Opening{Channel: name})
			for n := 1; n <= 30; n++ {
				text := fmt.Sprint(n)
				if name == "board" {
					text = fmt.Sprintf("k%d=%d", n%12, n)
				}
				at[name] = r.publish(name, text)
			}
			r.publish(name, "~0")
		}
		r.idle()
		for _, p := range r.peers {
			p.do(func() { p.heard(); p.sub.Close() })
		}
		old := protocol.Position{Epoch: "another"}
		keys := func(from, to int) (list []string) {
			for n := from; n <= to; n++ {
				list = append(list, fmt.Sprintf("k%d=%d", n%12, n))
			}
			return list
		}
		all := "state(" + words(keys(19, 30)) + ")"
		first := 0
		for _, c := range []struct {
			channel string
			o       Opening
			want    string
		}{
			{"live", Opening{}, "subscribed"},
			{"live", Opening{Want: since(old, 3)}, "subscribed(unknown)"},
			{"live", Opening{Barred: true}, "subscribedbarred"},
			{"trim", Opening{}, "subscribed@30"},
			{"trim", Opening{Want: since(at["trim"], 30)}, "subscribed@30"},
			{"trim", Opening{Want: since(at["trim"], 27)}, "subscribed@27 28 29 30"},
			{"trim", Opening{Want: since(at["trim"], 22)}, "subscribed@22 " + words(span(23, 30))},
			{"trim", Opening{Want: since(at["trim"], 20)}, "subscribed@20 " + words(span(21, 30))},
			{"trim", Opening{Want: since(at["trim"], 19)}, "subscribed@30(trimmed)"},
			{"trim", Opening{Want: since(old, 28)}, "subscribed@30(epoch)"},
			{"trim", Opening{Want: since(at["trim"], 31)}, "subscribed@30(unknown)"},
			{"trim", Opening{Want: channel.Want{Last: 3}}, "subscribed@27 28 29 30"},
			{"trim", Opening{Want: channel.Want{Last: 8}}, "subscribed@22 " + words(span(23, 30))},
			{"board", Opening{}, "subscribed@30 " + all},
			{"board", Opening{Want: since(at["board"], 27)}, "subscribed@27 " + words(keys(28, 30))},
			{"board", Opening{Want: since(at["board"], 18)}, "subscribed@18 " + words(keys(19, 30))},
			{"board", Opening{Want: since(at["board"], 31)}, "subscribed@30(unknown) " + all},
			{"board", Opening{Want: since(old, 20)}, "subscribed@30(epoch) " + all},
			{"board", Opening{Want: given(since(at["board"], 28), 26)}, "subscribed@28 state(" + words(keys(27, 28)) + ") " + words(keys(29, 30))},
		} {
			p := r.peer(first % 2)
			first++
			r.following(first%2, &Opening{Channel: c.channel}) // so that it is in the ring, or not
			c.o.Channel = c.channel
			p.subscribe(&c.o)
			p.wants("%s", c.want)
			if p.asked != (c.o.Want.Since != nil) || p.asked && p.head != 30 && c.channel != "live" {
				t.Errorf("%s: asked %v, head %d", c.want, p.asked, p.head)
			}
			if p.finished != 1 || c.o.err != nil {
				t.Errorf("%s: its end was told %d times, %v", c.want, p.finished, c.o.err)
			}
		}
		if n := s.claims.Load(); n != 2 {
			t.Errorf("%d claims were told to the store", n)
		}
		for _, p := range r.peers {
			p.do(func() { p.heard() })
		}
		for name := range at {
			r.publish(name, "k1=99")
		}
		for _, p := range r.peers {
			if !p.sub.closed {
				p.wants("k1=99")
			}
		}
	})
}

// TestOpeningFails: what cannot be followed or read is told, and nothing of it stays.
func TestOpeningFails(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		at := r.publish("log", span(1, 20)...)
		p := r.peer(0)
		s.refused.Store(true)
		p.subscribe(&Opening{Channel: "log"})
		p.wants("refused(planted)")
		r.until("the group is gone", func() bool { return r.groups() == 0 })
		s.refused.Store(false)
		r.following(0, &Opening{Channel: "log"})
		s.refused.Store(true)
		p.subscribe(&Opening{Channel: "log", Watch: true})
		p.wants("refused(planted)")
		s.refused.Store(false)
		s.onRead(func(string) error { return errPlanted })
		p.subscribe(&Opening{Channel: "log", Want: since(at, 3)})
		p.wants("refused(planted)")
		s.onRead(func(string) error { return nil })
		p.subscribe(&Opening{Channel: "log", Want: since(at, 17), Watch: true})
		p.wants("subscribed@17 18 19 20")
		if p.finished != 4 {
			t.Errorf("the end of %d was told", p.finished)
		}
	})
}

// TestOpeningIsEnded while it waits for something: by somebody who refuses it, or
// with its subscriber. What it has begun to follow is left.
func TestOpeningIsEnded(t *testing.T) {
	t.Parallel() // it waits most of its time
	for _, phase := range []phase{opening, watching, reading, deferring} {
		for _, closes := range []bool{false, true} {
			t.Run(fmt.Sprint(phase, " closes ", closes), func(t *testing.T) {
				s := newStore(true)
				r := newRig(t, s, nil)
				at := r.publish("log", span(1, 20)...)
				o := &Opening{Channel: "log", Want: since(at, 3), Watch: true}
				var follower *peer
				if phase != opening {
					follower = r.following(0, &Opening{Channel: "log"})
				}
				release := make(chan struct{})
				s.onRead(func(string) error { <-release; return nil })
				switch phase {
				case opening, watching:
					s.hold(true)
				case deferring:
					close(release)
					s.hold(true)
					s.renew(t)
					o.Watch = false
				}
				p := r.peer(0)
				p.subscribe(o)
				p.r.until("it waits", func() (yes bool) { p.do(func() { yes = o.phase == phase && o.waiting }); return yes })
				p.do(func() {
					if closes {
						p.sub.Close()
					} else {
						o.Refuse(protocol.Errorf(protocol.CodeForbidden, "no"))
					}
				})
				if s.hold(false); phase != deferring {
					close(release)
				}
				r.until("it has ended", func() (yes bool) { p.do(func() { yes = o.phase == ended }); return yes })
				if phase == deferring {
					follower.wants("epoch(21-21)")
				}
				if closes {
					r.idle()
					if p.finished != 0 || len(p.out) > 0 {
						t.Error("who is gone was told")
					}
				} else {
					p.wants("refused(forbidden)")
				}
			})
		}
	}
}

// TestDeferring: a store in an epoch that the feed has not told of makes an opening
// wait, and not for ever.
func TestDeferring(t *testing.T) {
	t.Parallel() // it waits most of its time
	s := newStore(false)
	r := newRig(t, s, nil)
	follower := r.following(0, &Opening{Channel: "log"})
	r.publish("log", "1")
	follower.wants("1")
	s.hold(true)
	s.renew(t)
	at := r.publish("log", span(1, 4)...)
	r.idle()
	for _, o := range []*Opening{{Want: since(at, 3)}, {Want: channel.Want{Last: 2}}} {
		o.Channel, o.tries = "log", mostDefers-1
		p := r.peer(0)
		p.subscribe(o)
		p.wants("refused(unavailable)")
		if e := new(protocol.Error); !errors.As(o.err, &e) || !e.Retryable || e.RetryAfter <= 0 || o.tries != mostDefers+1 {
			t.Errorf("%+v", o.err)
		}
	}
	p, q := r.peer(0), r.peer(1)
	p.subscribe(&Opening{Channel: "log", Want: since(at, 3)})
	q.subscribe(&Opening{Channel: "log", Want: channel.Want{Last: 2}})
	r.idle()
	s.hold(false)
	p.wants("subscribed@3 4")
	q.wants("subscribed@2 3 4")
	follower.wants("epoch(2-2) 1 2 3 4")
}

// TestEpochWhileReading: a page of the epoch before is not taken for one of now.
func TestEpochWhileReading(t *testing.T) {
	for name, want := range map[string]string{"log": "subscribed@1(epoch)", "board": "subscribed@1(epoch) state(b=1)"} {
		t.Run(name, func(t *testing.T) {
			s := newStore(true)
			r := newRig(t, s, nil)
			follower := r.following(0, &Opening{Channel: name})
			for n := range 20 {
				r.publish(name, fmt.Sprintf("a%d=%d", n, n))
			}
			follower.do(func() {})
			r.until("all came", func() (yes bool) { follower.do(func() { follower.heard(); yes = follower.at[name] == 20 }); return yes })
			var reads atomic.Int32
			asked, release := make(chan struct{}), make(chan struct{})
			s.onAnswer(func(string) error {
				if reads.Add(1) == 1 {
					close(asked)
					<-release
				}
				return nil
			})
			p := r.peer(0)
			at := follower.sub.subs[0].group.channel.Standing()
			p.subscribe(&Opening{Channel: name, Want: since(protocol.Position{Epoch: at.Epoch}, at.Head.Mark-15)})
			<-asked
			s.renew(t)
			r.publish(name, "b=1")
			r.idle()
			close(release)
			p.wants("%s", want)
			follower.do(func() { follower.sub.Close() })
		})
	}
}

// TestOpeningOfBlocked: a sink that does not read is given what follows when it does.
func TestOpeningOfBlocked(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		at := r.publish("log", span(1, 20)...)
		r.publish("board", "a=1", "b=2")
		for _, c := range []struct {
			channel string
			want    channel.Want
			hears   string
		}{
			{"log", since(at, 3), "subscribed@3 " + words(span(4, 20))},
			{"log", since(at, 20), "subscribed@20"},
			{"board", channel.Want{}, "subscribed@2 state(a=1 b=2)"},
		} {
			p := r.peer(0)
			p.do(func() { p.queue = []byte(" ") })
			p.subscribe(&Opening{Channel: c.channel, Want: c.want})
			r.until("it is answered", func() (yes bool) { p.do(func() { yes = p.finished > 0 }); return yes })
			r.idle()
			p.wants("")
			p.read(-1)
			p.wants("%s", c.hears)
		}
	})
}

// TestNudgedTooEarly: a nudge that comes before the loop has heard that the channel
// is followed keeps nobody from hearing what comes next.
func TestNudgedTooEarly(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	s.hold(true)
	p := r.peer(0)
	p.subscribe(&Opening{Channel: "log"})
	p.do(func() { r.Hub(p.loop).groups["log"].Nudge() }) // as one does that others follow already
	r.idle()
	s.hold(false)
	p.wants("subscribed@0")
	for n := 1; n <= 3; n++ {
		r.publish("log", fmt.Sprint(n))
		p.wants("%d", n)
	}
}

// TestOneFollows for all of a loop that come while it is not followed yet, and who
// leaves meanwhile ends nothing for the others.
func TestOneFollows(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	s.hold(true)
	for range 3 {
		r.peer(0).subscribe(&Opening{Channel: "log", Watch: true})
	}
	r.peers[0].do(func() { r.peers[0].sub.Close() })
	s.hold(false)
	r.peers[1].wants("subscribed@0")
	r.peers[2].wants("subscribed@0")
	if n := r.node.Channels(); n != 2 {
		t.Errorf("%d logs are followed", n)
	}
	r.peers[1].do(func() { r.peers[1].sub.Unsubscribe(0) })
	r.publish("log", "1")
	r.peers[2].wants("1")
	r.peers[1].wants("")
}

// TestJoinsInALaterEpoch: who is the first of its loop in a channel that others have
// followed into a new epoch is told of no other.
func TestJoinsInALaterEpoch(t *testing.T) {
	s := newStore(false)
	r := newRig(t, s, nil)
	p := r.following(0, &Opening{Channel: "log"})
	r.publish("log", "1")
	p.wants("1")
	s.renew(t)
	r.publish("log", "2")
	r.until("the new epoch is told", func() (yes bool) {
		p.do(func() { yes = strings.Contains(fmt.Sprint(p.heard()), "epoch(") })
		return yes
	})
	q := r.following(1, &Opening{Channel: "log"})
	q.do(func() {
		if g := q.sub.subs[0].group; !g.fresh() {
			t.Error("its group takes itself for one of the epoch before")
		}
	})
	r.publish("log", "3")
	q.wants("3")
	r.idle()
	p.do(func() { p.heard() })
}
