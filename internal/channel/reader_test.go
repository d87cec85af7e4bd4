package channel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestMeet: what a reader needs when a sweep comes by with a batch, and whether it
// lags from then on.
func TestMeet(t *testing.T) {
	b := &Batch{From: Cursor{5, 50}, To: Cursor{8, 80}}
	for _, c := range []struct {
		name   string
		r      Reader
		need   Need
		phase  Phase
		cursor Cursor
	}{
		{"at its beginning", Reader{Cursor: Cursor{5, 50}}, Offer, Live, Cursor{5, 50}},
		{"within it", Reader{Cursor: Cursor{7, 70}}, Offer, Live, Cursor{7, 70}},
		{"at its end", Reader{Cursor: Cursor{8, 80}}, Nothing, Live, Cursor{8, 80}},
		{"past it", Reader{Cursor: Cursor{9, 90}}, Nothing, Live, Cursor{9, 90}},
		{"passed over", Reader{Cursor: Cursor{4, 40}}, Pull, Lagging, Cursor{4, 40}},
		{"resting", Reader{Cursor: Cursor{5, 50}, Phase: Resting}, Paced, Resting, Cursor{5, 50}},
		{"lagging", Reader{Cursor: Cursor{5, 50}, Phase: Lagging}, Nothing, Lagging, Cursor{5, 50}},
		{"catching", Reader{Cursor: Cursor{0, 50}, Phase: Catching}, Nothing, Catching, Cursor{0, 50}},
		{"walking", Reader{Cursor: Cursor{0, 50}, Phase: Walking}, Nothing, Walking, Cursor{0, 50}},
		{"held", Reader{Cursor: Cursor{5, 50}, Phase: Held}, Nothing, Held, Cursor{5, 50}},
		{"further ahead", Reader{Cursor: Cursor{0, 81}, Phase: Ahead}, Nothing, Ahead, Cursor{0, 81}},
		{"ahead no more", Reader{Cursor: Cursor{0, 80}, Phase: Ahead}, Pull, Catching, Cursor{0, 80}},
	} {
		if need := c.r.Meet(b, history()); need != c.need || c.r.Phase != c.phase || c.r.Cursor != c.cursor {
			t.Errorf("%s: need %v, %+v", c.name, need, c.r)
		}
	}
	r := Reader{Cursor: Cursor{0, 80}, Phase: Ahead}
	if r.Meet(b, state()); r.Phase != Walking || r.Walk == nil || r.Walk.Snapshot {
		t.Errorf("ahead of a state: %+v", r)
	}
}

// TestOvertakenReader: a ring that turned over concerns whoever was to be swept, and
// in another epoch also whoever has only a mark.
func TestOvertakenReader(t *testing.T) {
	head := Cursor{8, 80}
	for _, c := range []struct {
		name  string
		r     Reader
		anew  bool
		need  Need
		phase Phase
		seq   uint64
	}{
		{"live and behind", Reader{Cursor: Cursor{7, 70}}, false, Pull, Lagging, 7},
		{"live with everything", Reader{Cursor: head}, false, Nothing, Live, 8},
		{"resting", Reader{Cursor: Cursor{7, 70}, Phase: Resting}, false, Paced, Resting, 7},
		{"lagging", Reader{Cursor: Cursor{7, 70}, Phase: Lagging}, true, Nothing, Lagging, 7},
		{"held", Reader{Cursor: Cursor{7, 70}, Phase: Held}, true, Nothing, Held, 7},
		{"catching", Reader{Cursor: Cursor{0, 70}, Phase: Catching, Walk: &Walk{}}, false, Nothing, Catching, 0},
		{"catching in another epoch", Reader{Cursor: Cursor{3, 70}, Phase: Catching, Walk: &Walk{}}, true, Pull, Lagging, 0},
		{"walking in another epoch", Reader{Cursor: Cursor{3, 70}, Phase: Walking, Walk: &Walk{}}, true, Pull, Lagging, 0},
		{"ahead in another epoch", Reader{Cursor: Cursor{3, 90}, Phase: Ahead}, true, Pull, Lagging, 0},
		{"further ahead", Reader{Cursor: Cursor{0, 81}, Phase: Ahead}, false, Nothing, Ahead, 0},
		{"ahead no more", Reader{Cursor: Cursor{0, 80}, Phase: Ahead}, false, Pull, Catching, 0},
	} {
		walk := c.r.Walk
		need := c.r.Overtaken(head, c.anew, history())
		if need != c.need || c.r.Phase != c.phase || c.r.Cursor.Seq != c.seq {
			t.Errorf("%s: need %v, %+v", c.name, need, c.r)
		}
		if c.r.Phase == Lagging && c.r.Walk != nil || c.r.Phase == Catching && walk != nil && c.r.Walk != walk {
			t.Errorf("%s: walk %+v", c.name, c.r.Walk)
		}
	}
}

// TestLost: what a reader that lags further than the ring reaches is told, and where
// it goes on.
func TestLost(t *testing.T) {
	oldest := Cursor{20, 60}
	for _, c := range []struct {
		name   string
		d      *Declaration
		gap    Gap
		reason string
		phase  Phase
		cursor Cursor
		lost   string
	}{
		{"nothing kept", &Declaration{}, Gap{Missed: 9}, "slow", Lagging, oldest, ""},
		{"a log", history(), Gap{From: 51, To: 60}, "", Catching, Cursor{0, 50}, ""},
		{"a state", state(), Gap{From: 51, To: 60}, "", Walking, Cursor{0, 50}, ""},
		{"both", both(), Gap{From: 51, To: 60}, "", Catching, Cursor{0, 50}, ""},
		{"an epoch, all of the next in the ring", history(), Gap{From: 51, To: 60, Epoch: true, Origin: 60}, "epoch", Lagging, oldest, ""},
		{"an epoch, some of the next in the ring", history(), Gap{From: 51, To: 55, Epoch: true, Origin: 55}, "epoch", Catching, Cursor{0, 55}, ""},
		{"an epoch of a state", state(), Gap{From: 51, To: 55, Epoch: true, Origin: 55}, "", Walking, Cursor{0, 50}, "epoch"},
		{"an epoch of both", both(), Gap{From: 51, To: 55, Epoch: true, Origin: 55}, "", Walking, Cursor{0, 50}, "epoch"},
	} {
		r := Reader{Cursor: Cursor{10, 50}, Phase: Lagging}
		if reason := r.Lost(&c.gap, oldest, c.d); reason != c.reason || r.Phase != c.phase || r.Cursor != c.cursor {
			t.Errorf("%s: %q, %+v", c.name, reason, r)
		}
		if (r.Walk != nil) != (r.Phase != Lagging) || r.Walk != nil && *r.Walk != (Walk{Snapshot: c.lost != "", Lost: c.lost}) {
			t.Errorf("%s: walk %+v", c.name, r.Walk)
		}
	}
}

// TestAsk: which page a reader needs, if any.
func TestAsk(t *testing.T) {
	at := Cursor{20, 50}
	for _, c := range []struct {
		name  string
		phase Phase
		walk  Walk
		held  bool
		ask   Ask
		ok    bool
		after Phase
	}{
		{"one is on its way", Catching, Walk{Reading: true}, true, Ask{}, false, Catching},
		{"the ring goes on", Catching, Walk{}, true, Ask{}, false, Lagging},
		{"the ring goes on from a walk", Walking, Walk{}, true, Ask{}, false, Lagging},
		{"a log", Catching, Walk{}, false, Ask{After: 50, Bytes: PageBytes}, true, Catching},
		{"a state", Walking, Walk{}, false, Ask{State: true, After: 50, Bytes: StateBytes}, true, Walking},
		{"a snapshot", Walking, Walk{Snapshot: true, After: 7}, true, Ask{State: true, After: 7, Bytes: StateBytes}, true, Walking},
	} {
		r := Reader{Cursor: Cursor{0, 50}, Phase: c.phase, Walk: &c.walk}
		ask, ok := r.Ask(at, c.held)
		if ask != c.ask || ok != c.ok || r.Phase != c.after {
			t.Errorf("%s: %+v %v, %+v", c.name, ask, ok, r)
		}
		if r.Phase == Lagging && (r.Cursor != at || r.Walk != nil) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// TestMissed: what is gone from the store is told of a log, and a state begins anew.
func TestMissed(t *testing.T) {
	for _, d := range []*Declaration{history(), state(), both()} {
		for floor := range uint64(7) {
			r := Reader{Cursor: Cursor{3, 5}, Phase: Catching, Walk: &Walk{}}
			gap := r.Missed(&Page{Floor: floor}, d)
			switch {
			case floor <= 5:
				if gap != nil || r.Cursor != (Cursor{3, 5}) || *r.Walk != (Walk{}) || r.Phase != Catching {
					t.Errorf("nothing is gone: %+v, %+v", gap, r)
				}
			case d.State != nil:
				if gap != nil || r.Phase != Walking || *r.Walk != (Walk{Snapshot: true, Lost: "trimmed"}) || r.Cursor.Mark != 5 {
					t.Errorf("a state: %+v, %+v", gap, r)
				}
			case gap == nil || *gap != Gap{From: 6, To: 6} || r.Cursor != Cursor{Mark: 6}:
				t.Errorf("a log: %+v, %+v", gap, r)
			}
		}
	}
}

// TestPart: a snapshot has what there was at its first page, told once, with the gap
// before it, and ends there.
func TestPart(t *testing.T) {
	s := newShelf(state(), 4, 100, 0)
	for n := range 9 {
		s.add(fmt.Sprint("k", n))
	}
	s.log = append(s.log, s.write("k3", "null"))[:len(s.log)+1]
	page := func(after uint64, entries int, more bool) *Page {
		p := s.read(Ask{State: true, After: after})
		p.Entries, p.More = p.Entries[:entries], more
		return p
	}
	for _, lost := range []string{"trimmed", "epoch"} {
		r := Reader{Cursor: Cursor{2, 4}, Phase: Walking, Walk: &Walk{Snapshot: true, Lost: lost}}
		first := page(0, 4, true)
		want := Gap{From: 5, To: 10}
		if lost == "epoch" {
			want.Epoch, want.Origin = true, 10
		}
		if gap := r.Begin(first); gap == nil || *gap != want || r.Cursor != (Cursor{Mark: 10}) || r.Walk.After != 0 {
			t.Fatalf("%+v, %+v", gap, r)
		}
		if items, last := r.Part(first); len(items) != 4 || last || r.Walk.After != 5 || r.Walk.Until != 10 {
			t.Errorf("%d items, %v, %+v", len(items), last, r.Walk)
		}
		second := page(5, 4, true)
		if gap := r.Begin(second); gap != nil {
			t.Errorf("the second page has %+v", gap)
		}
		if items, last := r.Part(second); len(items) != 4 || last || r.Walk.After != 9 {
			t.Errorf("%d items, %v, %+v", len(items), last, r.Walk)
		}
		if items, last := r.Part(page(9, 1, true)); len(items) != 0 || !last || *r.Walk != (Walk{}) {
			t.Errorf("the deletion at its end: %d items, %v, %+v", len(items), last, r.Walk)
		}
	}
	r := Reader{Cursor: Cursor{2, 40}, Phase: Walking, Walk: &Walk{Snapshot: true, Lost: "epoch"}}
	if gap := r.Begin(page(0, 1, false)); *gap != (Gap{From: 41, To: 41, Epoch: true, Origin: 10}) {
		t.Errorf("a gap to where the new epoch has not come: %+v", gap)
	}
	if items, last := r.Part(page(0, 1, false)); len(items) != 1 || !last {
		t.Error("there is no more")
	}
	r = Reader{Phase: Walking, Walk: &Walk{Snapshot: true, Begun: true, Until: 7, After: 5}}
	if items, last := r.Part(page(5, 4, true)); len(items) != 2 || !last {
		t.Errorf("it has %d items of those until 7, %v", len(items), last)
	}
}

// TestContinue: who has all that the store had goes on in the ring, waits for it, or
// reads on.
func TestContinue(t *testing.T) {
	at := Cursor{20, 50}
	for _, c := range []struct {
		name   string
		held   bool
		head   uint64
		need   Need
		phase  Phase
		cursor Cursor
	}{
		{"in the ring", true, 60, Pull, Lagging, at},
		{"at its head", true, 50, Pull, Lagging, at},
		{"ahead", false, 49, Nothing, Ahead, Cursor{Mark: 50}},
		{"the ring is past it", false, 60, Pull, Catching, Cursor{Mark: 50}},
	} {
		r := Reader{Cursor: Cursor{3, 30}, Phase: Catching, Walk: &Walk{}}
		need := r.Continue(50, at, c.held, Cursor{30, c.head})
		if need != c.need || r.Phase != c.phase || r.Cursor != c.cursor || (r.Walk != nil) != (c.phase == Catching) {
			t.Errorf("%s: %v, %+v", c.name, need, r)
		}
	}
}

// course is one reader on its way along a log, as its owner leads it: everything may
// come between, pages come late, and the peer takes little at a time.
type course struct {
	*shelf
	t     *testing.T
	rng   *rand.Rand
	r     Reader
	calm  bool // nothing fails or is cut any more
	paced bool
	owed  []func() // what the feed has not told yet
	swept Cursor
	era   int // of the ring
	known int // of the reader
	page  *Page
	walk  *Walk // that asked for it

	at   uint64            // where the peer is
	view map[string]string // what it knows
}

func (c *course) chance(n int) bool { return !c.calm && c.rng.IntN(n) == 0 }

// happen is something in the log, its store or its ring.
func (c *course) happen() {
	switch c.rng.IntN(12) {
	case 0, 1, 2, 3:
		for range c.rng.IntN(6) {
			data := fmt.Sprint(c.head)
			if c.rng.IntN(3) == 0 {
				data = "null"
			}
			e := c.write(fmt.Sprint("k", c.rng.IntN(5)), data)
			c.owed = append(c.owed, func() { c.ring.Append(e) })
		}
	case 4, 5, 6:
		for n := c.rng.IntN(8); n > 0 && len(c.owed) > 0; n-- {
			c.owed[0]()
			c.owed = c.owed[1:]
		}
	case 7: // trimmed
		if c.d.History != nil {
			c.floor += uint64(c.rng.IntN(int(c.head-c.floor) + 1))
		}
	case 8: // deletions are forgotten
		if c.d.State != nil {
			c.forgotten += uint64(c.rng.IntN(int(c.head-c.forgotten) + 1))
		}
	case 9:
		c.ring.Shrink(0)
	case 10:
		if c.rng.IntN(4) > 0 || !c.d.Kept() {
			return
		}
		c.store, c.log, c.head, c.floor, c.forgotten = c.store+"'", nil, uint64(c.rng.IntN(5)), 0, 0
		c.floor = c.head
		epoch, head := c.store, c.head
		c.owed = append(c.owed, func() { c.epoch = epoch; c.era++; c.ring.Restart(head) })
	case 11:
		if n := len(c.owed) - 1; n > 0 && c.rng.IntN(3) == 0 && c.d.Kept() && c.epoch == c.store {
			c.owed = c.owed[n:] // the feed has a hole
		}
	}
}

// turn is a turn of the reader's owner.
func (c *course) turn() {
	switch c.rng.IntN(3) {
	case 0:
		c.look()
	case 1:
		c.pull()
	case 2:
		c.answer()
	}
}

// look is a sweep.
func (c *course) look() {
	var b Batch
	from, _, _ := c.ring.Overtaken(c.swept)
	c.ring.Fill(&b, from, 200, false)
	if b.From != c.swept {
		c.overtaken()
		return
	}
	c.swept = b.To
	if c.r.Meet(&b, c.d) == Offer {
		c.offer(&b)
	}
}

func (c *course) overtaken() {
	c.swept = c.ring.Head()
	anew := c.era != c.known
	c.known = c.era
	c.r.Overtaken(c.swept, anew, c.d)
}

func (c *course) fresh() bool {
	if c.era == c.known {
		return true
	}
	c.overtaken()
	return false
}

// offer gives the peer some of a batch; the message that is cut counts as given.
func (c *course) offer(b *Batch) (all bool) {
	for e, at := range b.Entries(c.r.Cursor) {
		c.told(e)
		if c.r.Cursor = at; c.chance(4) {
			if c.r.Phase == Live {
				c.r.Phase = Lagging
			}
			return false
		}
	}
	c.r.Cursor = b.To
	return true
}

func (c *course) pull() {
	switch c.r.Phase {
	case Resting:
		c.r.Phase = Lagging
	case Lagging:
		c.pullRing()
	case Catching, Walking:
		at, held := c.ring.Find(c.r.Cursor.Mark)
		if !c.fresh() {
			return
		}
		walk := c.r.Walk
		if a, ok := c.r.Ask(at, held); ok {
			walk.Reading, c.walk, c.page = true, walk, c.read(a)
			if n := 1 + c.rng.IntN(4); len(c.page.Entries) > n {
				c.page.Entries, c.page.More = c.page.Entries[:n], true
			}
		}
	}
}

func (c *course) pullRing() {
	var b Batch
	from, gap, _ := c.ring.Overtaken(c.r.Cursor)
	c.ring.Fill(&b, from, 200, true)
	if gap != nil {
		if !c.fresh() {
			return
		}
		if c.r.Lost(gap, b.From, c.d) != "" {
			c.lost(gap)
		}
		if gap.Epoch || c.r.Phase != Lagging {
			return
		}
	}
	c.r.Cursor = b.From
	if c.offer(&b) && b.Whole {
		if c.r.Phase = Live; c.paced {
			c.r.Phase = Resting
		}
	}
}

// answer is a page that comes.
func (c *course) answer() {
	p := c.page
	if c.page = nil; p == nil || c.r.Walk != c.walk {
		return
	}
	c.walk.Reading = false
	if !c.fresh() || p.Epoch != c.epoch || c.chance(5) {
		return
	}
	if c.r.Walk.Snapshot {
		c.part(p)
		return
	}
	if gap := c.r.Missed(p, c.d); gap != nil {
		c.lost(gap)
	}
	if c.r.Walk.Snapshot {
		return
	}
	if len(p.Entries) > 0 {
		var b Batch
		b.Load(c.r.Cursor.Mark, p.Entries)
		c.r.Cursor = b.From
		if !c.offer(&b) || p.More {
			return
		}
	}
	c.goOn(max(c.r.Cursor.Mark, p.Head))
}

func (c *course) part(p *Page) {
	if gap := c.r.Begin(p); gap != nil {
		c.lost(gap)
		c.at, c.view = c.r.Cursor.Mark, map[string]string{}
	}
	until := c.r.Walk.Until
	items, last := c.r.Part(p)
	for _, e := range items {
		if _, twice := c.view[e.Key]; twice || e.Deleted || e.Offset > until {
			c.t.Fatalf("a snapshot of %d has %+v", until, e)
		}
		c.view[e.Key] = string(e.JSON())
	}
	if last {
		c.goOn(c.r.Cursor.Mark)
	}
}

func (c *course) goOn(offset uint64) {
	at, held := c.ring.Find(offset)
	if c.fresh() {
		c.r.Continue(offset, at, held, c.ring.Head())
	}
}

// told is a message that the peer is given: on a log the next one.
func (c *course) told(e *Entry) {
	if e.Offset <= c.at || c.d.State == nil && e.Offset != c.at+1 {
		c.t.Fatalf("%d comes after %d", e.Offset, c.at)
	}
	if c.at = e.Offset; e.Deleted {
		delete(c.view, e.Key)
	} else if e.Key != "" {
		c.view[e.Key] = string(e.JSON())
	}
}

// lost is a gap that the peer is told. Of a state it has perhaps not been told the last
// messages before it, which had newer ones of their keys behind them.
func (c *course) lost(gap *Gap) {
	switch {
	case !c.d.Kept():
		c.at += gap.Missed
		return
	case gap.From != c.at+1 && (c.d.State == nil || gap.From <= c.at) || gap.To < gap.From && gap.Epoch:
		c.t.Fatalf("the gap %+v comes after %d", gap, c.at)
	}
	if c.at = gap.To; gap.Epoch {
		c.at = gap.Origin
	}
}

// FuzzReader: whatever comes between, the peer is told of a log every message once
// and in order, or what it lost; and knows of a state in the end what is in it.
func FuzzReader(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 9))
		d := []*Declaration{{}, history(), state(), both()}[rng.IntN(4)]
		c := &course{shelf: newShelf(d, 1+rng.IntN(8), 1000, 0), t: t, rng: rng, paced: rng.IntN(3) == 0, view: map[string]string{}}
		for range 20 + rng.IntN(300) {
			if rng.IntN(2) == 0 {
				c.happen()
			} else {
				c.turn()
			}
		}
		for _, fn := range c.owed {
			fn()
		}
		c.calm, c.paced = true, false
		for range 1000 {
			c.turn()
		}
		if c.r.Phase != Live || c.at != c.head || c.page != nil {
			t.Fatalf("it is at %d of %d: %+v", c.at, c.head, c.r)
		}
		truth := map[string]string{}
		for _, e := range c.log {
			if truth[e.Key] = string(e.JSON()); e.Deleted || e.Key == "" {
				delete(truth, e.Key)
			}
		}
		if !maps.Equal(c.view, truth) {
			t.Fatalf("it knows %v of %v", c.view, truth)
		}
	})
}
