package channel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ringdown/protocol"
)

// The ring is checked against a model that keeps everything: a list of all
// entries ever appended, of which the ring holds a tail.

type appended struct {
	entry *Entry
	mark  uint64
}

type model struct {
	d   *Declaration
	all []appended // all[i] has sequence i+1
}

func (m *model) head() uint64 {
	if len(m.all) == 0 {
		return 0
	}
	return m.all[len(m.all)-1].mark
}

func (m *model) add(key string, ephemeral bool, size int) *Entry {
	msg := protocol.Message{Type: "e", Channel: "c", Key: key, Data: []byte(fmt.Sprintf(`"%0*d"`, size, len(m.all)))}
	mark := m.head()
	if !ephemeral {
		if m.d.Kept() {
			// Offsets may be sparse.
			msg.Offset, msg.Prev, msg.Kept = mark+1+uint64(len(m.all)%3), mark, true
			mark = msg.Offset
		} else {
			mark++
		}
	}
	e := NewEntry(&msg, ephemeral)
	m.all = append(m.all, appended{e, mark})
	return e
}

// latest returns the sequence of the newest entry of a key.
func (m *model) latest(key string) uint64 {
	for i := len(m.all) - 1; i >= 0; i-- {
		if m.all[i].entry.Key == key {
			return uint64(i + 1)
		}
	}
	return 0
}

func declarations() map[string]*Declaration {
	b := Buffer{Messages: 7, Bytes: 4 << 10}
	return map[string]*Declaration{
		"unkept": {Name: "c", Buffer: b},
		"kept":   {Name: "c", Buffer: b, History: &History{Messages: 3}},
		"state":  {Name: "c", Buffer: b, State: &State{}},
	}
}

// TestRingAgainstModel appends thousands of random entries, and after each one
// looks from every cursor that there ever was.
func TestRingAgainstModel(t *testing.T) {
	for name, d := range declarations() {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				r, m := NewRing(d, 0), &model{d: d}
				for range 60 {
					key := ""
					if d.State != nil {
						key = fmt.Sprint("k", rnd.IntN(4))
					}
					size := rnd.IntN(20)
					if rnd.IntN(15) == 0 {
						size = 6 << 10 // over the bound all by itself
					}
					e := m.add(key, rnd.IntN(4) == 0, size)
					before := r.Bytes()
					if delta := r.Append(e); before+delta != r.Bytes() {
						t.Fatalf("Append says %+d, Bytes went from %d to %d", delta, before, r.Bytes())
					}
					if rnd.IntN(20) == 0 {
						r.Shrink(rnd.IntN(2000))
					}
					checkBounds(t, r, d)
					checkAllCursors(t, r, m)
				}
			})
		}
	}
}

func checkBounds(t *testing.T, r *Ring, d *Declaration) {
	t.Helper()
	n, bytes := r.len(), 0
	for seq := r.first; seq < r.next; seq++ {
		bytes += r.at(seq).entry.Size()
	}
	if bytes != r.Bytes() {
		t.Fatalf("Bytes is %d, the entries have %d", r.Bytes(), bytes)
	}
	if n < 1 || n > d.Buffer.Messages || n > 1 && bytes > d.Buffer.Bytes {
		t.Fatalf("the ring holds %d entries of %d bytes, the bounds are %+v", n, bytes, d.Buffer)
	}
	if d.State != nil && len(r.latest) > n {
		t.Fatalf("%d keys are remembered for %d entries", len(r.latest), n)
	}
}

func checkAllCursors(t *testing.T, r *Ring, m *model) {
	t.Helper()
	if got := (Cursor{uint64(len(m.all)), m.head()}); r.Head() != got {
		t.Fatalf("head %+v, want %+v", r.Head(), got)
	}
	for seq := uint64(0); seq <= uint64(len(m.all)); seq++ {
		c := Cursor{Seq: seq}
		if seq > 0 {
			c.Mark = m.all[seq-1].mark
		}
		from := checkOvertaken(t, r, m, c)
		for _, conflate := range []bool{false, true} {
			checkFill(t, r, m, from, conflate)
		}
	}
}

// checkOvertaken checks what a cursor is told to lack, against what is missing.
func checkOvertaken(t *testing.T, r *Ring, m *model, c Cursor) Cursor {
	t.Helper()
	resume, gap, overtaken := r.Overtaken(c)
	if overtaken != (c.Seq+1 < r.first) {
		t.Fatalf("cursor %+v, first %d: overtaken %v", c, r.first, overtaken)
	}
	if !overtaken {
		if resume != c || gap != nil {
			t.Fatalf("cursor %+v is not overtaken, but resumes at %+v with %+v", c, resume, gap)
		}
		return c
	}
	var lost []appended
	for seq := c.Seq + 1; seq < r.first; seq++ {
		if a := m.all[seq-1]; !a.entry.Ephemeral {
			lost = append(lost, a)
		}
	}
	switch {
	case len(lost) == 0:
		if gap != nil {
			t.Fatalf("only ephemeral entries were lost, but there is a gap %+v", gap)
		}
	case gap == nil:
		t.Fatalf("%d entries were lost without a gap", len(lost))
	case m.d.Kept():
		first, last := lost[0].entry.Offset, lost[len(lost)-1].entry.Offset
		if gap.From > first || gap.From != c.Mark+1 || gap.To != last {
			t.Fatalf("lost %d..%d after %d, the gap is %+v", first, last, c.Mark, gap)
		}
	default:
		if gap.Missed != uint64(len(lost)) {
			t.Fatalf("lost %d, the gap is %+v", len(lost), gap)
		}
	}
	return resume
}

func checkFill(t *testing.T, r *Ring, m *model, from Cursor, conflate bool) {
	t.Helper()
	var want []*Entry
	for seq := from.Seq + 1; seq <= uint64(len(m.all)); seq++ {
		a := m.all[seq-1]
		if conflate && a.entry.Ephemeral && a.mark < m.head() {
			continue
		}
		if conflate && !a.entry.Ephemeral && m.d.State != nil && a.entry.Key != "" && m.latest(a.entry.Key) != seq {
			continue
		}
		want = append(want, a.entry)
	}
	var b Batch
	var got []*Entry
	for at := from; at.Seq < uint64(len(m.all)); at = b.To {
		r.Fill(&b, at, 300, conflate)
		if b.To.Seq <= at.Seq {
			t.Fatalf("a batch from %+v goes to %+v", at, b.To)
		}
		checkBatch(t, &b, at)
		got = append(got, b.entries...)
	}
	if len(got) != len(want) {
		t.Fatalf("from %+v (conflate %v): %d entries, want %d", from, conflate, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("from %+v: entry %d is another", from, i)
		}
	}
}

// checkBatch cuts the batch at every byte, and checks that what was written, the
// rest, and what follows the next cursor are the whole, once.
func checkBatch(t *testing.T, b *Batch, from Cursor) {
	t.Helper()
	all := string(b.Bytes(FormText, from))
	step := max(1, len(all)/40)
	for n := 0; n < len(all); n += step {
		next, rest := b.Split(FormText, from, n)
		if got := all[:n] + string(rest) + string(b.Bytes(FormText, next)); got != all {
			t.Fatalf("cut at %d of %d: %d + %d + %d bytes do not make the whole", n, len(all), n, len(rest), len(b.Bytes(FormText, next)))
		}
		if len(rest) == 0 {
			t.Fatalf("cut at %d of %d: nothing to hand over", n, len(all))
		}
	}
}

func TestFind(t *testing.T) {
	d := declarations()["kept"]
	r, m := NewRing(d, 0), &model{d: d}
	for i := range 40 {
		r.Append(m.add("", i%5 == 0, 5))
	}
	base := r.base
	for mark := uint64(0); mark <= m.head()+2; mark++ {
		c, ok := r.Find(mark)
		if ok != (mark >= base && mark <= m.head()) {
			t.Fatalf("mark %d (ring from %d to %d): found %v", mark, base, m.head(), ok)
		}
		if !ok {
			continue
		}
		var b Batch
		r.Fill(&b, c, 1<<20, false)
		prev := mark
		for _, e := range b.entries {
			if e.Ephemeral {
				continue
			}
			if e.Offset <= mark {
				t.Fatalf("after mark %d comes offset %d", mark, e.Offset)
			}
			if prev != mark && e.Prev != prev {
				t.Fatalf("after mark %d: offset %d follows %d, not %d", mark, e.Offset, e.Prev, prev)
			}
			prev = e.Offset
		}
		if prev != m.head() {
			t.Fatalf("from mark %d one comes to %d, the head is %d", mark, prev, m.head())
		}
	}
}

// TestExtend: a batch that is extended is the batch of a later Fill.
func TestExtend(t *testing.T) {
	d := declarations()["kept"]
	r, m := NewRing(d, 0), &model{d: d}
	var b Batch
	r.Append(m.add("", false, 5))
	r.Fill(&b, Cursor{}, 1000, false)
	one := string(b.Bytes(FormText, b.From))
	if r.Extend(&b, 1000) {
		t.Error("nothing has come, and the batch grew")
	}
	for range 3 {
		r.Append(m.add("", false, 5))
	}
	if !r.Extend(&b, 1000) || b.Len() != 4 || b.To != r.Head() {
		t.Fatalf("the batch has %d entries up to %+v", b.Len(), b.To)
	}
	if all := string(b.Bytes(FormText, b.From)); all[:len(one)] != one || all[len(one):] != string(b.Bytes(FormText, Cursor{1, 1})) {
		t.Error("what was there is no longer in front")
	}
	checkBatch(t, &b, b.From)
	checkBatch(t, &b, b.cursors[1])
	// The limit holds, also for what comes after the one that is too large, and a
	// ring that has moved on says so by adding nothing.
	r.Append(m.add("", false, 2000))
	r.Append(m.add("", false, 5))
	if r.Extend(&b, 1000) {
		t.Error("the limit was passed")
	}
	for range 20 {
		r.Append(m.add("", false, 5))
	}
	if r.Extend(&b, 100_000) {
		t.Error("entries are missing in the middle of the batch")
	}
}

// TestAfter: the next entry, and none behind the newest, also where no slot is free.
func TestAfter(t *testing.T) {
	d := declarations()["kept"]
	r, m := NewRing(d, 0), &model{d: d}
	for range smallestRing {
		r.Append(m.add("", false, 5))
	}
	for seq := range uint64(smallestRing) {
		if e := r.After(Cursor{Seq: seq}); e != m.all[seq].entry {
			t.Errorf("after %d comes %+v", seq, e)
		}
	}
	if e := r.After(r.Head()); e != nil {
		t.Errorf("after the newest comes %d", e.Offset)
	}
}

func TestRingBeginsAtPosition(t *testing.T) {
	d := declarations()["kept"]
	r := NewRing(d, 41)
	if r.Head() != (Cursor{0, 41}) {
		t.Fatalf("head %+v", r.Head())
	}
	if c, ok := r.Find(41); !ok || c != r.Head() {
		t.Fatalf("find 41: %+v %v", c, ok)
	}
	if _, ok := r.Find(40); ok {
		t.Fatal("the ring cannot continue from before it began")
	}
}

// TestLatestKeepsNoOldEntry: the map of keys must not hold on to entries that
// are gone by the text of a key.
func TestLatestKeepsNoOldEntry(t *testing.T) {
	d := declarations()["state"]
	r, m := NewRing(d, 0), &model{d: d}
	for range 20 {
		r.Append(m.add("key", false, 5))
	}
	if len(r.latest) != 1 {
		t.Fatalf("%d keys", len(r.latest))
	}
	for key := range r.latest {
		newest := r.at(r.next - 1).entry.Key
		if unsafeData(key) != unsafeData(newest) {
			t.Fatal("the key's text is an older entry's")
		}
	}
}

// TestRestart: every cursor of the epoch before is overtaken, also one that had
// everything, and those of the new one are not.
func TestRestart(t *testing.T) {
	add := func(r *Ring, offset, prev uint64) {
		r.Append(NewEntry(&protocol.Message{Type: "e", Channel: "c", Offset: offset, Prev: prev, Kept: true, Data: []byte("1")}, false))
	}
	r := NewRing(&Declaration{History: &History{}, Buffer: Buffer{Messages: 3, Bytes: 1 << 20}}, 40)
	add(r, 41, 40)
	add(r, 42, 41)
	old, behind := r.Head(), Cursor{r.Head().Seq - 1, 41}
	if r.Restart(7); r.Bytes() != 0 {
		t.Errorf("%d bytes are left", r.Bytes())
	}
	for _, c := range []Cursor{old, behind, {Mark: 41}} {
		_, gap, overtaken := r.Overtaken(c)
		if !overtaken || gap == nil || !gap.Epoch || gap.From != c.Mark+1 || gap.To < gap.From || gap.Origin != 7 {
			t.Errorf("%+v: overtaken %v, %+v", c, overtaken, gap)
		}
	}
	begin := r.Head()
	if _, _, overtaken := r.Overtaken(begin); overtaken || begin.Mark != 7 {
		t.Errorf("the new epoch begins at %+v, overtaken %v", begin, overtaken)
	}
	for offset := uint64(8); offset < 12; offset++ {
		add(r, offset, offset-1)
	}
	if _, gap, _ := r.Overtaken(begin); gap == nil || gap.Epoch || gap.From != 8 || gap.To != 8 {
		t.Errorf("within the new epoch: %+v", gap)
	}
	if _, gap, _ := r.Overtaken(old); gap == nil || !gap.Epoch || gap.Origin != 7 {
		t.Errorf("of the old epoch, later: %+v", gap)
	}
	if _, ok := r.Find(42); ok {
		t.Error("an offset of the old epoch was found")
	}
}

// TestRingHole: an entry that does not continue what is held leaves no cursor
// that could go on over the hole.
func TestRingHole(t *testing.T) {
	r := NewRing(&Declaration{History: &History{}, Buffer: Buffer{Messages: 9, Bytes: 1 << 20}}, 5)
	head := r.Head()
	r.Append(NewEntry(&protocol.Message{Type: "e", Channel: "c", Offset: 9, Prev: 8, Kept: true}, false))
	if _, gap, _ := r.Overtaken(head); gap == nil || *gap != (Gap{From: 6, To: 8}) {
		t.Errorf("the gap is %+v", gap)
	}
	if _, ok := r.Find(6); ok {
		t.Error("an offset in the hole was found")
	}
	if c, ok := r.Find(8); !ok || r.Head().Seq != c.Seq+1 {
		t.Error("the entry behind the hole is not found")
	}
}

// TestClear: who had everything still has, and everybody else is overtaken.
func TestClear(t *testing.T) {
	for _, d := range []*Declaration{{History: &History{}}, {State: &State{}}, {}} {
		d.Buffer = Buffer{Messages: 8, Bytes: 1 << 20}
		r := NewRing(d, 0)
		offset := uint64(0)
		add := func() {
			offset++
			m := protocol.Message{Type: "e", Channel: "c", Data: []byte("1")}
			if d.Kept() {
				m.Offset, m.Prev, m.Kept = offset, offset-1, true
			}
			if d.State != nil {
				m.Key = "k"
			}
			r.Append(NewEntry(&m, false))
		}
		add()
		behind := r.Head()
		add()
		head := r.Head()
		if freed := r.Clear(); freed >= 0 || r.Bytes() != 0 {
			t.Errorf("%d bytes were given back, %d are left", -freed, r.Bytes())
		}
		if _, gap, overtaken := r.Overtaken(head); overtaken || gap != nil || r.Head() != head {
			t.Errorf("who had everything: %v %+v, the head is %+v", overtaken, gap, r.Head())
		}
		if _, gap, overtaken := r.Overtaken(behind); !overtaken || gap == nil {
			t.Errorf("who lagged: %v %+v", overtaken, gap)
		}
		add()
		var b Batch
		if r.Fill(&b, head, 1<<20, true); b.Len() != 1 || b.To != r.Head() {
			t.Errorf("%d entries come after it", b.Len())
		}
	}
}
