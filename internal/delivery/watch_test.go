package delivery

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"ringdown/internal/broker"
	"ringdown/internal/node"
	"ringdown/protocol"
)

// change tells who watches a channel of something in its members.
func (r *rig) change(channel string, texts ...string) {
	log, target := node.PresenceLog(channel)
	for _, text := range texts {
		r.store.Open(log, target.Declaration).Append(&broker.Publication{Message: protocol.Message{Type: protocol.TypePresence, Channel: channel, Data: []byte(text)}}, receipt(func(broker.Receipt, error) {}))
	}
}

func (p *peer) watch(on bool) {
	p.do(func() {
		p.sub.Watch(0, on, func(err error) { p.tell(p.sub.Channel(0), fmt.Sprintf("failed(%v)", err), nil) })
	})
}

// TestWatch: who watches a channel is told of its members from then on until it does
// no more, beside the channel's messages.
func TestWatch(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		opened, later := r.following(0, &Opening{Channel: "log", Watch: true}), r.following(0, &Opening{Channel: "log"})
		r.change("log", `"a"`)
		opened.wants(`"a"`)
		later.watch(true)
		r.until("it watches", func() (yes bool) { later.do(func() { yes = later.sub.subs[0].watch >= 0 }); return yes })
		later.watch(true) // once more is no more
		r.change("log", `"b"`, `"c"`)
		opened.wants(`"b" "c"`)
		later.wants(`"b" "c"`)
		opened.watch(false)
		opened.watch(false)
		r.change("log", `"d"`)
		later.wants(`"d"`)
		r.publish("log", "1")
		opened.wants("1")
		later.wants("1")
		later.do(func() {
			if !later.sub.Watching(0) || opened.sub.Watching(0) {
				t.Error("it is not said who watches")
			}
			later.sub.Unsubscribe(0)
		})
		r.until("nobody watches", func() bool { return r.node.Channels() == 1 })
		r.change("log", `"e"`)
		r.idle()
		later.wants("")
	})
}

// TestWatchEnds before it has begun, or cannot begin.
func TestWatchEnds(t *testing.T) {
	for _, how := range []string{"unwatch", "unsubscribe", "close", "fail"} {
		t.Run(how, func(t *testing.T) {
			s := newStore(true)
			r := newRig(t, s, nil)
			p := r.following(0, &Opening{Channel: "log"})
			s.hold(true)
			p.watch(true)
			want := ""
			p.do(func() {
				if !p.sub.Watching(0) {
					t.Error("it is about to watch")
				}
				p.sub.Hold("log", true) // there is nothing to be held yet
				switch how {
				case "unwatch":
					p.sub.Watch(0, false, nil)
				case "unsubscribe":
					p.sub.Unsubscribe(0)
				case "close":
					p.sub.Close()
				case "fail":
					s.refused.Store(true)
					want = "failed(planted)"
				}
			})
			s.hold(false)
			p.wants("%s", want)
			r.until("it watches nothing", func() (yes bool) {
				p.do(func() { yes = len(p.sub.subs) == 0 || !p.sub.Watching(0) && p.sub.subs[0].group.watch == nil })
				return yes
			})
			r.change("log", `"a"`)
			r.idle()
			p.wants("")
		})
	}
}

// TestWatchers of many channels keep their places when others leave.
func TestWatchers(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	names := []string{"live", "log", "trim", "board", "wide"}
	for range 5 {
		p := r.peer(0)
		for _, name := range names {
			p.subscribe(&Opening{Channel: name, Watch: true})
		}
		r.idle()
		p.do(func() { p.heard() })
	}
	for i, p := range r.peers { // each ends another one
		p.do(func() {
			p.sub.Unsubscribe(p.sub.Find(names[i]))
			if p.sub.Find(names[i]) >= 0 || p.sub.Len() != 4 {
				t.Error("it has not ended")
			}
		})
	}
	r.peers[0].do(func() { r.peers[0].sub.Unsubscribe(0) }) // the last has taken its place
	for _, name := range names {
		r.change(name, `"`+name+`"`)
	}
	for i, p := range r.peers {
		p.r.idle()
		p.do(func() {
			var want []string
			for name := range p.sub.Channels() {
				want = append(want, `"`+name+`"`)
			}
			got := p.heard()
			for _, word := range want {
				if strings.Count(words(got), word) != 1 || len(got) != len(want) {
					t.Errorf("%d heard %s of %s", i, got, want)
				}
			}
		})
	}
}

// TestHold: what is told of the members waits for what was asked for, and comes
// behind it.
func TestHold(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	p := r.following(0, &Opening{Channel: "log", Watch: true})
	p.do(func() { p.sub.Hold("log", true); p.sub.Hold("trim", true) })
	r.change("log", `"a"`)
	r.publish("log", "1")
	p.wants("1")
	p.do(func() {
		if !p.sub.Busy() {
			t.Error("it is owed something")
		}
		p.tell("log", "list", nil)
		p.sub.Hold("log", false)
	})
	p.wants(`list "a"`)
	r.change("log", `"b"`)
	p.wants(`"b"`)
}

// TestRelist: who is too slow for the changes is given the beginning of the list
// instead, when it can be read.
func TestRelist(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		for n := range relistMembers + 1 {
			if _, err := s.Put(t.Context(), "log", broker.Member{ID: fmt.Sprintf("m%03d", n)}); err != nil {
				t.Fatal(err)
			}
		}
		p, quick := r.following(0, &Opening{Channel: "log", Watch: true}), r.following(0, &Opening{Channel: "log", Watch: true})
		p.do(func() { p.queue = []byte(" ") })
		r.change("log", `"a"`)
		quick.wants(`"a"`)
		var many []string
		for n := range 300 {
			many = append(many, fmt.Sprintf(`"%d"`, n))
		}
		for _, text := range many {
			r.change("log", text)
			r.idle()
		}
		quick.wants("%s", words(many))
		var fails atomic.Int32
		s.onRead(func(string) error {
			if fails.Add(1) == 1 {
				return errPlanted
			}
			r.change("log", `"b"`) // while it is read
			return nil
		})
		p.read(-1)
		p.retry()
		var list []string
		for n := range relistMembers {
			list = append(list, fmt.Sprintf("m%03d", n))
		}
		p.wants(`members(%s.. "b"`, words(list))
		quick.wants(`"b"`)
		r.change("log", `"c"`)
		p.wants(`"c"`)
		quick.wants(`"c"`)
		if n := r.Metrics().Relists.Load(); n != 1 {
			t.Errorf("%d lists are counted", n)
		}
	})
}

// TestRelistOfWhoLeft: a list that comes for who watches no more is nobody's.
func TestRelistOfWhoLeft(t *testing.T) {
	for _, unsubscribes := range []bool{false, true} {
		s := newStore(true)
		r := newRig(t, s, nil)
		p := r.following(0, &Opening{Channel: "log", Watch: true})
		release := make(chan struct{})
		asked := make(chan struct{})
		s.onRead(func(string) error { close(asked); <-release; return nil })
		p.do(func() { p.queue = []byte(" ") })
		r.change("log", `"a"`)
		r.until("it lags", func() (yes bool) { p.do(func() { yes = p.sub.Busy() }); return yes })
		for n := range 300 {
			r.change("log", fmt.Sprint(n))
		}
		r.idle()
		p.read(-1)
		<-asked
		p.do(func() {
			if unsubscribes {
				p.sub.Unsubscribe(0)
			} else {
				p.sub.Watch(0, false, nil)
			}
		})
		close(release)
		r.idle()
		p.wants("")
		p.do(func() { p.sub.Close() })
	}
}

// TestCutMembers: a page of members ends after so many bytes, but has one.
func TestCutMembers(t *testing.T) {
	page := broker.MemberPage{Total: 3, Members: []broker.Member{{ID: "a", User: "u", Data: []byte("12345678")}, {ID: "bb"}, {ID: "c"}}}
	for _, c := range []struct{ bytes, members int }{
		{0, 1}, {41, 1}, {42, 1}, {75, 1}, {76, 2}, {108, 2}, {109, 3}, {1000, 3},
	} {
		p := CutMembers(page, c.bytes)
		if len(p.Members) != c.members || p.More != (c.members < 3) || p.Total != 3 {
			t.Errorf("of %d bytes: %+v", c.bytes, p)
		}
	}
}

// TestWatchMoves: who watches the second of two channels, and leaves the first, goes on
// watching.
func TestWatchMoves(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	p := r.following(0, &Opening{Channel: "live"})
	p.subscribe(&Opening{Channel: "log", Watch: true})
	p.wants("subscribed@0")
	p.do(func() { p.sub.Unsubscribe(0) })
	r.change("log", `"a"`)
	p.wants(`"a"`)
	p.do(func() { p.queue = []byte(" ") })
	r.change("log", `"b"`)
	r.idle()
	p.read(-1)
	p.wants(`"b"`)
}
