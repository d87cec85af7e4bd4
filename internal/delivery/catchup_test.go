package delivery

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/protocol"
)

// retry lets those try again at once whose read has failed.
func (p *peer) retry() {
	p.r.until("it waits to try again", func() (yes bool) {
		p.do(func() { yes = len(p.r.Hub(p.loop).again.line) > 0 })
		return yes
	})
	p.do(func() { p.r.Hub(p.loop).again.Fire(p.loop) })
}

// phase is that of the first subscription.
func (p *peer) phase() (is channel.Phase) {
	p.do(func() { is = p.sub.subs[0].group.members[p.sub.subs[0].at].reader.Phase })
	return is
}

func (p *peer) comesTo(is channel.Phase) {
	p.r.t.Helper()
	p.r.until(fmt.Sprint("its phase is ", is), func() bool { return p.phase() == is })
}

// behind is a peer that stands at first in what the store has and the ring has not,
// and is about to read its first page, which the store is asked for when it reads.
func (r *rig) behind(name string, texts []string) *peer {
	p := r.following(0, &Opening{Channel: name})
	r.publish(name, texts[0])
	p.wants("%s", texts[0])
	p.do(func() { p.queue = []byte(" ") })
	r.publish(name, texts[1])
	r.until("it lags", func() bool { return p.phase() == channel.Lagging })
	r.publish(name, texts[2:]...)
	r.idle()
	return p
}

func keyed(texts []string) (list []string) {
	for i, text := range texts {
		list = append(list, fmt.Sprintf("k%d=%s", i, text))
	}
	return list
}

// TestPageFails: what cannot be read is not lost. It is read a moment later.
func TestPageFails(t *testing.T) {
	t.Parallel() // it waits most of its time
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		for name, texts := range map[string][]string{"log": span(1, 20), "board": keyed(span(1, 20))} {
			p := r.behind(name, texts)
			s.onRead(func(string) error { return errPlanted })
			p.read(-1)
			p.retry() // in vain
			r.until("it waits again", func() (yes bool) { p.do(func() { yes = len(r.Hub(p.loop).again.line) > 0 }); return yes })
			s.onRead(func(string) error { return nil })
			if name == "log" {
				p.retry()
			} // else the timer does
			p.wants("%s", words(texts[1:]))
			if p.phase() != channel.Live {
				t.Errorf("its phase is %v", p.phase())
			}
		}
	})
}

// TestLeavesWhileReading: a page that comes for a subscription that has ended is
// nobody's, also if it was made again.
func TestLeavesWhileReading(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	p, q := r.behind("log", span(1, 20)), r.behind("trim", span(1, 9))
	asked, release := make(chan string, 9), make(chan struct{})
	s.onAnswer(func(name string) error { asked <- name; <-release; return nil })
	p.read(-1)
	q.read(-1)
	<-asked
	<-asked
	q.do(func() { q.sub.Unsubscribe(0) })
	p.do(func() { p.sub.Unsubscribe(0) })
	p.subscribe(&Opening{Channel: "log"})
	p.wants("subscribed@20")
	close(release)
	r.until("the pages are read", func() bool { return r.Metrics().Reads.Load() == 2 })
	r.idle()
	p.wants("")
	r.publish("log", "21")
	p.wants("21")
}

// TestAhead: who was given more by the store than the ring has waits for the ring,
// or reads on where that passes it by.
func TestAhead(t *testing.T) {
	for _, more := range [][]string{nil, {"22"}, span(22, 40)} {
		t.Run(fmt.Sprint(len(more), " more"), func(t *testing.T) {
			s := newStore(true)
			r := newRig(t, s, nil)
			p := r.behind("log", span(1, 20))
			s.hold(true)
			r.publish("log", "21")
			p.read(-1)
			p.wants("%s", words(span(2, 21)))
			p.comesTo(channel.Ahead)
			p.do(func() {
				if p.sub.Busy() {
					t.Error("it has all that there is")
				}
				r.publish("log", more...)
				s.hold(false)
			})
			p.wants("%s", words(more))
			p.comesTo(channel.Live)
			r.publish("log", "99")
			p.wants("99")
		})
	}
}

// TestEpochChanges: everybody is told once of the end of an epoch, in whatever phase
// it is, and given what is in the next one: of a log all that comes, of a state a
// snapshot.
func TestEpochChanges(t *testing.T) {
	t.Parallel() // it waits most of its time
	for _, name := range []string{"log", "board"} {
		for _, phase := range []channel.Phase{channel.Live, channel.Resting, channel.Lagging, channel.Catching, channel.Ahead} {
			for _, busy := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " ", phase, " busy ", busy), func(t *testing.T) { epochChanges(t, name, phase, busy) })
			}
		}
	}
}

func epochChanges(t *testing.T, name string, phase channel.Phase, busy bool) {
	s := newStore(true)
	r := newRig(t, s, nil)
	texts, next := span(1, 20), span(1, 12)
	if name == "board" {
		texts, next = keyed(texts), []string{"a=1", "b=2", "a=3", "b=null", "c=4"}
	}
	var p *peer
	release := make(chan struct{})
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	defer free()
	known := 20 // 0: it is not known here
	switch phase {
	case channel.Resting:
		p = r.following(0, &Opening{Channel: name, Rate: 5})
		r.publish(name, texts[0])
		p.wants("%s", texts[0])
		r.publish(name, texts[1:]...)
		known = 0 // as much as its pace allows
	case channel.Live, channel.Lagging:
		p = r.following(0, &Opening{Channel: name})
		r.publish(name, texts...)
		p.r.until("it heard", func() (yes bool) { p.do(func() { p.heard(); yes = p.at[name] == 20 }); return yes })
		if phase == channel.Lagging {
			p.do(func() { p.queue = []byte(" ") })
			r.publish(name, "z=1")
			p.comesTo(channel.Lagging)
		}
	case channel.Catching:
		p = r.behind(name, texts)
		asked := make(chan struct{}, 99)
		s.onAnswer(func(string) error { asked <- struct{}{}; <-release; return nil })
		p.read(-1)
		<-asked
		known = 1
	case channel.Ahead:
		p = r.behind(name, texts)
		s.hold(true)
		r.publish(name, "z=1")
		p.read(-1)
		p.comesTo(channel.Ahead)
		p.do(func() { p.heard() })
		s.lose(true)
		s.hold(false) // what was held is told all the same
		s.lose(false)
		known = 21
	}
	if busy { // the ring of the next epoch has turned over before anybody looks
		p.do(func() { s.renew(t); r.publish(name, next...) })
	} else {
		s.renew(t)
		r.idle()
		r.publish(name, next...)
	}
	r.idle()
	free()
	p.read(-1)
	heardEpoch(t, p, name, known, len(next))
}

// heardEpoch reads until the head of the new epoch.
func heardEpoch(t *testing.T, p *peer, name string, known, head int) {
	t.Helper()
	var got []string
	p.r.until("it heard of all", func() (yes bool) {
		p.do(func() {
			got = append(got, p.heard()...)
			yes = p.at[name] == uint64(head) && strings.Contains(fmt.Sprint(got), "epoch(")
		})
		return yes && (name == "log" || strings.Contains(fmt.Sprint(got), "c=4"))
	})
	for len(got) > 0 && !strings.HasPrefix(got[0], "epoch(") {
		got = got[1:] // of the epoch before
	}
	if !strings.HasPrefix(got[0], fmt.Sprintf("epoch(%d-", known+1)) && known > 0 {
		t.Errorf("it is told %s and knew %d", got[0], known)
	}
	if text := words(got[1:]); name == "log" && text != words(span(1, head)) {
		t.Errorf("it heard %s", text)
	} else if name == "board" {
		view := map[string]string{}
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ()", r) }) {
			if key, data, ok := strings.Cut(word, "="); ok {
				if view[key] = data; data == "null" {
					delete(view, key)
				}
			}
		}
		if got := fmt.Sprint(view); got != "map[a:3 c:4]" || strings.Count(text, "state(") != 1 {
			t.Errorf("it knows %s of %s", got, text)
		}
	}
}

// TestEpochOfAGap: a gap says the epoch that was lost to, also when the channel is in
// the next by the time that it is told, which is told as well.
func TestEpochOfAGap(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	p := r.following(0, &Opening{Channel: "log"})
	r.publish("log", "1")
	p.wants("1")
	var first, second string
	p.do(func() {
		g := p.sub.subs[0].group
		s.renew(t)
		g.overtaken()
		gap := g.channel.Fill(&g.hub.batch, p.sub.subs[0].member().reader.Cursor, 1, true)
		s.renew(t)
		p.sub.retrack(p.sub.subs[0].member())
		g.tellGap(&p.sub, gap, "epoch")
		first, second = p.epoch["log"], g.channel.Standing().Epoch
	})
	if first == second {
		t.Errorf("it was told of %q, and lost to the one before", first)
	}
	p.wants("epoch(2-2) epoch(2-2)")
	p.do(func() {
		if p.epoch["log"] != second {
			t.Errorf("it was told of %q, and the channel is in %q", p.epoch["log"], second)
		}
	})
}

// TestTrimmedWhileReading: what the store drops while it is read is told as a gap,
// and on a state, whose deletions are forgotten, with a snapshot.
func TestTrimmedWhileReading(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		p := r.behind("trim", span(1, 40))
		p.read(-1)
		p.wants("trimmed(2-30) %s", words(span(31, 40)))

		list := []string{"a=1", "a=2", "b=1"}
		for n := range channel.MaxTombstones + 2 {
			list = append(list, fmt.Sprintf("d%d=null", n))
		}
		q := r.behind("board", append(list, "c=1"))
		q.read(-1)
		head := len(list) + 1
		q.wants("trimmed(2-%d) state(a=2 b=1.. state(c=1)", head)
		r.publish("board", "c=2")
		q.wants("c=2")
	})
}

// TestLongSnapshot leaves in pages, and what was written since it began comes after it,
// once. The peer reads one page after the other.
func TestLongSnapshot(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		data := `"` + strings.Repeat("x", channel.StateBytes/3) + `"`
		key := func(n int) string { return fmt.Sprintf("k%d=%s", n, data) }
		var texts []string
		for n := range 6 {
			texts = append(texts, key(n))
		}
		r.publish("board", texts...)
		p := r.peer(0)
		var pages atomic.Int32
		s.onRead(func(string) error {
			if pages.Add(1) == 2 {
				r.publish("board", "k4=null", "k0=1", "k9=9")
			}
			return nil
		})
		p.subscribe(&Opening{Channel: "board"})
		p.wants("subscribed@6 state(%s %s.. state(%s %s.. state(%s) k4=null k0=1 k9=9", key(0), key(1), key(2), key(3), key(5))
		if n := pages.Load(); n != 4 && n != 3 {
			t.Errorf("%d pages were read", n)
		}
	})
}

// TestStoreBefore: a page of an epoch that the feed has not told of is not given.
func TestStoreBefore(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	p := r.behind("log", span(1, 20))
	s.hold(true)
	s.renew(t)
	r.publish("log", "1")
	r.idle()
	p.read(-1)
	p.retry()
	r.idle()
	s.hold(false)
	p.wants("epoch(2-2) 1")
}

// TestPagesShareTheLoop: who catches up takes turns with the live traffic, and many
// channels of one subscriber with each other.
func TestPagesShareTheLoop(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	p := r.peer(0)
	long := `"` + strings.Repeat("x", 1000) + `"`
	var texts []string
	for range 300 {
		texts = append(texts, long)
	}
	names := []string{"log", "wide", "both"}
	at := map[string]protocol.Position{}
	for _, name := range names {
		at[name] = r.publish(name, texts...)
	}
	p.do(func() { p.queue = []byte(" ") })
	for _, name := range names {
		p.subscribe(&Opening{Channel: name, Want: since(at[name], 0)})
	}
	r.idle()
	seen := map[string]int{}
	for round := range 3 * len(texts) {
		p.read(5000)
		r.idle()
		p.do(func() { p.heard() })
		for _, name := range names {
			if p.at[name] == 300 && seen[name] == 0 {
				seen[name] = round
			}
		}
		if len(seen) == len(names) {
			break
		}
	}
	for _, name := range names {
		if n := seen[name]; n < 140 || n > 250 {
			t.Errorf("%s is complete after %d rounds: %v", name, n, seen)
		}
	}
}

// TestReadsAreShared and bounded: so many at a time, one for all who ask the same.
func TestReadsAreShared(t *testing.T) {
	s := newStore(true)
	var most atomic.Int32
	most.Store(2)
	r := newRig(t, s, func() int { return int(most.Load()) })
	at := r.publish("log", span(1, 30)...)
	asked, release := make(chan string, 99), make(chan struct{})
	var now, peak atomic.Int32
	s.onRead(func(name string) error {
		peak.Store(max(peak.Load(), now.Add(1)))
		defer now.Add(-1)
		asked <- name
		<-release
		return nil
	})
	for n := range 20 {
		r.peer(n % 2).subscribe(&Opening{Channel: "log", Want: since(at, 3+uint64(n%4))})
	}
	<-asked
	<-asked
	r.until("all have asked", func() bool { return r.Metrics().ReadsShared.Load() == 16 })
	most.Store(1) // of the workers one goes home
	close(release)
	for n, p := range r.peers {
		p.wants("subscribed@%d %s", 3+n%4, words(span(4+n%4, 30)))
	}
	if r.Metrics().Reads.Load() != 4 || peak.Load() != 2 {
		t.Errorf("%d reads, %d at a time", r.Metrics().Reads.Load(), peak.Load())
	}
	r.reads.mu.Lock()
	defer r.reads.mu.Unlock()
	if r.reads.workers != 0 || len(r.reads.open) != 0 || r.reads.line != nil {
		t.Errorf("%d workers are left, %d reads can be joined", r.reads.workers, len(r.reads.open))
	}
}

// TestPage is for who is no subscriber: it may have to wait, and is not given what was
// read before it asked.
func TestPage(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	at := r.publish("log", span(1, 3)...)
	d, _ := r.node.Table().Match("log")
	target := node.Target{Declaration: d}
	ask := channel.Ask{After: 1, Bytes: channel.PageBytes}
	asked, release := make(chan string, 9), make(chan struct{})
	s.onAnswer(func(name string) error { asked <- name; <-release; return nil })
	p := r.peer(0)
	p.subscribe(&Opening{Channel: "log", Want: since(at, 1)})
	<-asked
	r.publish("log", "4")
	got := make(chan channel.Page, 1)
	go func() {
		page, err := r.Page(t.Context(), "log", target, ask)
		if err != nil {
			t.Error(err)
		}
		got <- page
	}()
	<-asked
	close(release)
	if page := <-got; len(page.Entries) != 3 || page.Head != 4 || page.Epoch != at.Epoch {
		t.Errorf("%+v", page)
	}
	p.wants("subscribed@1 2 3 4")

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	hang := make(chan struct{})
	s.onRead(func(string) error { <-hang; return nil })
	if _, err := r.Page(ctx, "log", target, ask); err == nil || protocol.AsError(err).Code != protocol.CodeTimeout {
		t.Error(err)
	}
	close(hang)
	r.fails = true
	s.onRead(func(string) error { panic("planted") })
	if _, err := r.Page(t.Context(), "log", target, ask); err == nil || !strings.Contains(err.Error(), "planted") {
		t.Error(err)
	}
	r.cancel()
	s.onRead(func(string) error { t.Error("it is read after the end"); return nil })
	if _, err := r.Page(t.Context(), "log", target, ask); err == nil {
		t.Error("there is a page after the end")
	}
}

// TestCatchUpIsCounted: each message counts once as delivered, wherever it came from,
// and of who asks for one page twice only one is read.
func TestCatchUpIsCounted(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	p := r.behind("log", span(1, 20))
	release := make(chan struct{})
	s.onAnswer(func(string) error { <-release; return nil })
	p.read(-1)
	r.until("a page is being read", func() bool { return p.phase() == channel.Catching })
	r.idle()
	p.read(-1) // it is told again that it may go on
	r.idle()
	if n := r.Metrics().ReadsShared.Load(); n != 0 {
		t.Errorf("it asked %d times more for its page", n)
	}
	close(release)
	p.wants("%s", words(span(2, 20)))
	p.do(func() { p.queue = []byte(" ") })
	r.publish("log", "21")
	r.until("it lags", func() bool { return p.phase() == channel.Lagging })
	r.publish("log", "22")
	p.read(-1)
	p.wants("21 22")
	if n := r.Metrics().Deliveries.Load(); n != 22 {
		t.Errorf("%d deliveries of 22", n)
	}
}

// TestSettlesAhead: who tells its positions is told that it has everything also when
// the store has told it more than the ring has.
func TestSettlesAhead(t *testing.T) {
	s := newStore(true)
	r := newRig(t, s, nil)
	p := r.peer(0)
	p.do(func() { p.sub.KeepPositions(nil, nil, p.loop.Now()) })
	p.subscribe(&Opening{Channel: "log"})
	p.wants("subscribed@0@0")
	p.do(func() { p.queue = []byte(" ") })
	r.publish("log", "1")
	r.until("it lags", func() bool { return p.phase() == channel.Lagging })
	r.publish("log", span(2, 20)...)
	r.idle()
	s.hold(true)
	r.publish("log", "21")
	release := make(chan struct{})
	s.onAnswer(func(string) error { <-release; return nil })
	p.read(-1)
	r.until("a page is being read", func() bool { return p.phase() == channel.Catching })
	r.idle()
	settled := 0
	p.do(func() { settled = p.settled })
	close(release)
	p.comesTo(channel.Ahead)
	p.do(func() {
		words := p.heard()
		if n := len(words); n == 0 || words[n-1] != "21@21" || p.settled == settled {
			t.Errorf("it was told %d times more that it has everything, and heard %q", p.settled-settled, words)
		}
	})
	s.hold(false)
}
