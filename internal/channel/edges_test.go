package channel

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ringdown/protocol"
)

// The corners that the models of the other tests come by without looking.

func TestBudget(t *testing.T) {
	b := NewBudget(10)
	if !b.Take(4) || !b.Take(6) || b.Spent() != 10 {
		t.Errorf("all of it cannot be spent: %d", b.Spent())
	}
	if b.Take(1) || b.Take(0) || b.Spent() != 10 {
		t.Errorf("more than all was spent: %d", b.Spent())
	}
	b = NewBudget(10)
	if b.Take(11) || b.Take(1) {
		t.Error("what did not suffice once suffices later")
	}
	var none *Budget
	if !none.Take(1 << 40) {
		t.Error("no budget has an end")
	}
	if errors.Is(nil, ErrBudget) {
		t.Error("no error is one of the budget")
	}
	if e := (&Event{}).Judging(1 << 30); !e.Take(DefaultSchemaSteps) || e.Take(1) {
		t.Error("the default is another")
	}
	if e := (&Event{SchemaSteps: 3}).Judging(1 << 30); !e.Take(3) || e.Take(1) {
		t.Error("what is declared does not count")
	}
}

func entries(n int) (list []*Entry) {
	for i := range n {
		list = append(list, keyed(uint64(i+1), fmt.Sprint("k", i), "1", 0))
	}
	return list
}

func TestBatchLimit(t *testing.T) {
	list := entries(3)
	frame := len(list[0].Frame(FormText))
	for limit, want := range map[int]int{0: 1, 1: 1, 2*frame - 1: 1, 2 * frame: 2, 3*frame - 1: 2, 3 * frame: 3} {
		r := NewRing(&Declaration{History: &History{}, Buffer: Buffer{Messages: 10, Bytes: 1 << 20}}, 0)
		for _, e := range list {
			r.Append(e)
		}
		var b Batch
		r.Fill(&b, r.Oldest(), limit, false)
		if b.Len() != want || b.Size() != want*frame || b.Whole != (want == 3) {
			t.Errorf("%d bytes: %d entries of %d bytes, whole %v; want %d", limit, b.Len(), b.Size(), b.Whole, want)
		}
		// A batch that is filled again has nothing of what it had.
		r.Fill(&b, r.Head(), limit, false)
		if b.Len() != 0 || b.Size() != 0 || !b.Whole || b.To != r.Head() || len(b.Bytes(FormText, r.Head())) != 0 {
			t.Errorf("filled with nothing it has %d entries of %d bytes", b.Len(), b.Size())
		}
	}
}

func TestBatchOfAPage(t *testing.T) {
	var b Batch
	list := entries(3)
	b.Load(0, list)
	var got []uint64
	for e, at := range b.Entries(Cursor{}) {
		if at.Mark != e.Offset {
			t.Errorf("the cursor of %d is %v", e.Offset, at)
		}
		got = append(got, e.Offset)
	}
	if fmt.Sprint(got) != "[1 2 3]" || b.Count(Cursor{}) != 3 || b.To.Mark != 3 || b.From.Mark != 0 {
		t.Errorf("%v, %d, to %v", got, b.Count(Cursor{}), b.To)
	}
	for range b.Entries(Cursor{}) {
		break
	}
	if text := string(b.Bytes(FormText, Cursor{})); strings.Count(text, `"key":"k`) != 3 {
		t.Errorf("the bytes are %q", text)
	}
	b.Load(7, list[:1])
	if text := string(b.Bytes(FormText, Cursor{Mark: 7})); strings.Count(text, `"key":"k`) != 1 || b.From.Mark != 7 {
		t.Errorf("loaded again: %q from %v", text, b.From)
	}
	b.Load(0, list)
	b.Bytes(FormText, Cursor{})
	kept := cap(b.forms[FormText].own)
	if b.Release(kept); b.forms[FormText].own == nil || b.Len() != 0 || b.forms[FormText].bytes != nil || b.entries[:1][0] != nil {
		t.Error("released, it lost a buffer that it may keep, or kept an entry")
	}
	b.Load(0, list)
	if b.Release(kept - 1); b.forms[FormText].own != nil {
		t.Error("released, it kept a buffer that is too large")
	}
}

func TestGraves(t *testing.T) {
	var l Latest
	offset := uint64(0)
	set := func(key, data string) {
		offset++
		l.Set(keyed(offset, key, data, int64(offset)))
	}
	set("stays", "1")
	for i := range MaxTombstones {
		set(fmt.Sprint("d", i), "null")
	}
	if l.Forgotten() != 0 || l.Len() != MaxTombstones+1 {
		t.Fatalf("%d keys, forgotten to %d: all may be remembered", l.Len(), l.Forgotten())
	}
	// The first deletion is overwritten, so that its tombstone is gone.
	set("d0", "1")
	set("one more", "null")
	if l.Forgotten() != 2 || !l.Has("d0") || !l.Has("stays") {
		t.Errorf("forgotten to %d; a key that lives again went with its tombstone: %v", l.Forgotten(), !l.Has("d0"))
	}
	before := l.Len()
	set("and one", "null")
	if l.Forgotten() != 3 || l.Len() != before || l.keys["d1"] != nil {
		t.Errorf("forgotten to %d, %d keys", l.Forgotten(), l.Len())
	}
	page, more := l.After(0, 1, 1<<20)
	if len(page) != 1 || page[0].Key != "stays" || !more {
		t.Errorf("%d entries, more: %v", len(page), more)
	}
	size := page[0].Size()
	if page, _ = l.After(0, 10, size); len(page) != 1 {
		t.Errorf("%d entries in the bytes of one", len(page))
	}
	if two, _ := l.After(0, 10, 1<<20); len(two) == 10 {
		if page, _ = l.After(0, 10, two[0].Size()+two[1].Size()); len(page) != 2 {
			t.Errorf("%d entries in the bytes of two", len(page))
		}
	}
	// What expires leaves no more memory than it must.
	for range 3000 {
		set("hot", "1")
	}
	if len(l.list) > 2*l.Len()+16 {
		t.Errorf("%d places for %d keys", len(l.list), l.Len())
	}
}

func TestRingLimits(t *testing.T) {
	d := &Declaration{History: &History{}, Buffer: Buffer{Messages: 8, Bytes: 1 << 20}}
	r := NewRing(d, 0)
	list := entries(6)
	for _, e := range list {
		r.Append(e)
	}
	size := list[0].Size()
	// To the byte: what fits stays, and the change is told as it was.
	if change := r.Shrink(4 * size); change != -2*size || r.Bytes() != 4*size {
		t.Errorf("shrunk by %d to %d, entries of %d", change, r.Bytes(), size)
	}
	if change := r.Shrink(4*size - 1); change != -size || r.Bytes() != 3*size {
		t.Errorf("shrunk by %d to %d", change, r.Bytes())
	}
	if r.Shrink(0); r.Bytes() != size {
		t.Errorf("the newest went: %d", r.Bytes())
	}
	r.SetLimit(Buffer{Messages: 2, Bytes: 1 << 20})
	for i := uint64(7); i < 12; i++ {
		r.Append(keyed(i, "k", "1", 0))
	}
	if head, oldest := r.Head(), r.Oldest(); head.Seq-oldest.Seq != 2 {
		t.Errorf("it holds %d entries, the limit is 2", head.Seq-oldest.Seq)
	}
	size = keyed(12, "k", "1", 0).Size()
	r.SetLimit(Buffer{Messages: 8, Bytes: 2 * size})
	for i := uint64(12); i < 15; i++ {
		r.Append(keyed(i, "k", "1", 0))
	}
	if r.Bytes() != 2*size {
		t.Errorf("it holds %d bytes of %d", r.Bytes(), 2*size)
	}
	if change := r.Restart(20); change != -2*size || r.Bytes() != 0 {
		t.Errorf("restarted, it changed by %d to %d", change, r.Bytes())
	}
	r.Append(keyed(21, "k", "1", 0))
	if r.Clear(); r.slots != nil || r.latest != nil || r.Bytes() != 0 {
		t.Error("cleared, it keeps its memory")
	}
}

// TestExtendAtTheEdge: a batch goes on where the ring still begins, and not after
// a hole.
func TestExtendAtTheEdge(t *testing.T) {
	r := NewRing(&Declaration{History: &History{}, Buffer: Buffer{Messages: 2, Bytes: 1 << 20}}, 0)
	add := func(offset uint64) { r.Append(keyed(offset, "k", "1", 0)) }
	var b Batch
	add(1)
	r.Fill(&b, r.Oldest(), 1<<20, false)
	add(2)
	add(3) // 1 is gone, and the batch has it
	if !r.Extend(&b, 1<<20) || b.Len() != 3 {
		t.Errorf("%d entries", b.Len())
	}
	add(4)
	add(5)
	add(6) // 4 is gone, and the batch lacks it
	if r.Extend(&b, 1<<20) || b.Len() != 3 {
		t.Errorf("%d entries, over a hole", b.Len())
	}
	// A limit that is reached in the middle leaves no hole either.
	r.Fill(&b, r.Oldest(), 1, false)
	add(7)
	if r.Extend(&b, b.Size()) || b.Len() != 1 || b.To.Mark != 5 {
		t.Errorf("%d entries to %v over the limit", b.Len(), b.To)
	}
}

func TestPaceBounds(t *testing.T) {
	for rate, want := range map[float64]bool{MinRate: true, MinRate * 0.99: false, MaxRate: true, MaxRate * 1.01: false, 0: false, -1: false} {
		if _, ok := NewPace(rate); ok != want {
			t.Errorf("a rate of %v: %v", rate, ok)
		}
	}
}

func TestWhoRules(t *testing.T) {
	written := &Declaration{Name: "a:{x}", Line: 3, Allow: Allow{Subscribe: SignedIn, History: Anyone, Lines: [4]int{OpSubscribe: 5, OpHistory: 6}}}
	left := &Declaration{Name: "b", Line: 9, Events: map[string]*Event{"e": {Name: "e"}}, Allow: Allow{Subscribe: SignedIn, Lines: [4]int{OpSubscribe: 11}}}
	for range 2 { // of the same declarations again, as a reload may
		table, err := NewTable([]*Declaration{written, left})
		if err != nil {
			t.Fatal(err)
		}
		if table.Names() != "a:{x}, b" {
			t.Errorf("the names are %s", table.Names())
		}
		if written.HistoryAsSubscribe() || written.RuleName(OpHistory) != "a:{x}.allow.history" || written.RuleLine(OpHistory) != 6 || written.Rule(OpHistory) != Anyone {
			t.Errorf("a rule that is written: %s in line %d", written.RuleName(OpHistory), written.RuleLine(OpHistory))
		}
		if !left.HistoryAsSubscribe() || left.RuleName(OpHistory) != "b.allow.subscribe" || left.RuleLine(OpHistory) != 11 || left.Rule(OpHistory) != SignedIn {
			t.Errorf("a rule that is not: %s in line %d", left.RuleName(OpHistory), left.RuleLine(OpHistory))
		}
		if left.RuleLine(OpPublish) != 9 || left.Rule(OpPublish) != None {
			t.Errorf("no rule: line %d", left.RuleLine(OpPublish))
		}
	}
	if e, ok := written.Event("any"); e != nil || !ok {
		t.Error("a channel that declares no events refuses one")
	}
	if e, ok := left.Event("e"); e == nil || !ok {
		t.Error("a declared event is refused")
	}
	if _, ok := left.Event("f"); ok {
		t.Error("an event that is not declared is accepted")
	}
	if (&Declaration{}).Kept() || !(&Declaration{State: &State{}}).Kept() || !(&Declaration{History: &History{}}).Kept() {
		t.Error("what is kept")
	}
}

// TestEntryDeletes: null with a key deletes; without one, or as bytes, it is data.
func TestEntryDeletes(t *testing.T) {
	for _, c := range []struct {
		key, data    string
		binary, want bool
	}{{"k", "null", false, true}, {"", "null", false, false}, {"k", "null", true, false}, {"k", "0", false, false}} {
		m := protocol.Message{Type: "e", Channel: "c", Key: c.key, Data: []byte(c.data), Binary: c.binary}
		if got := NewEntry(&m, false).Deleted; got != c.want {
			t.Errorf("key %q, data %s, bytes %v: deletes is %v", c.key, c.data, c.binary, got)
		}
	}
}
