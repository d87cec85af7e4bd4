package channel

import "sort"

// Cursor is how far a subscriber has come in a ring.
type Cursor struct {
	Seq uint64 // the entry it was given last, in the ring's own numbering
	// Mark is what Seq means to the client: on a channel that keeps messages the
	// offset of the last kept entry up to Seq, otherwise the number of entries
	// up to Seq that are not ephemeral.
	Mark uint64
}

// Ring is the newest part of a channel's log on one node, bounded in entries
// and bytes. It is not safe for concurrent use: the channel's owner locks.
type Ring struct {
	limit Buffer
	kept  bool // entries carry offsets
	keyed bool // entries are conflated by key

	slots  []slot // a power of two; grows from small, so that quiet channels cost little
	first  uint64 // sequence of the oldest entry held
	next   uint64 // sequence that the next entry gets; the first ever is 1
	born   uint64 // the first sequence of the log's epoch: cursors before it are of another
	origin uint64 // the mark behind which that epoch began
	base   uint64 // mark of the cursor just before first
	head   uint64 // mark of the newest entry
	bytes  int
	latest map[string]uint64 // keyed: the newest sequence of each key still held
}

type slot struct {
	entry *Entry
	mark  uint64
}

const smallestRing = 4

// NewRing returns the empty ring of a channel declared by d. position is the
// offset of the newest entry already in the store; what comes next follows it.
func NewRing(d *Declaration, position uint64) *Ring {
	r := &Ring{limit: d.Buffer, kept: d.Kept(), keyed: d.State != nil, first: 1, next: 1, born: 1}
	if r.kept {
		r.base, r.head = position, position
	}
	return r
}

// SetLimit changes the bounds, for a reload. It takes effect with the next Append.
func (r *Ring) SetLimit(b Buffer) { r.limit = b }

// Append adds e as the newest entry and drops the oldest ones past the bounds.
// The newest is always held, however large. It returns by how much Bytes changed.
func (r *Ring) Append(e *Entry) int {
	before := r.bytes
	if e.Ephemeral {
		// It moves no mark: a reader who misses it misses nothing that counts.
	} else if r.kept {
		if e.Prev > r.head {
			r.skip(e.Prev) // the feed has a hole, and so does every cursor up to here
		}
		r.head = e.Offset
	} else {
		r.head++
	}
	if r.len() == len(r.slots) {
		r.grow()
	}
	*r.at(r.next) = slot{e, r.head}
	if r.keyed && e.Key != "" {
		r.setLatest(e.Key, r.next)
	}
	r.next++
	r.bytes += e.Size()
	for r.len() > 1 && (r.len() > r.limit.Messages || r.bytes > r.limit.Bytes) {
		r.drop()
	}
	return r.bytes - before
}

// Restart empties the ring for a log that goes on in another epoch, after the
// given position. Every cursor from before is overtaken. It returns by how much
// Bytes changed.
func (r *Ring) Restart(position uint64) int {
	before := r.bytes
	r.skip(position)
	r.born, r.origin = r.first, position
	return r.bytes - before
}

// skip drops everything and leaves out one sequence, so that no cursor is one
// that the ring can go on from, not even that of a reader who had everything.
func (r *Ring) skip(position uint64) {
	for r.len() > 0 {
		r.drop()
	}
	r.next++
	r.first = r.next
	if r.kept {
		r.base, r.head = position, position
	}
}

// Shrink drops the oldest entries until at most bytes remain, or one entry, and
// returns by how much Bytes changed (never positive). It is for a node whose
// rings together are over its budget.
func (r *Ring) Shrink(bytes int) int {
	before := r.bytes
	for r.len() > 1 && r.bytes > bytes {
		r.drop()
	}
	return r.bytes - before
}

// Clear drops everything, gives the memory back, and returns by how much Bytes
// changed. Who had everything still has; everybody else is overtaken.
func (r *Ring) Clear() int {
	before := r.bytes
	for r.len() > 0 {
		r.drop()
	}
	r.slots, r.latest = nil, nil
	return r.bytes - before
}

// Bytes returns the memory that the entries held take.
func (r *Ring) Bytes() int { return r.bytes }

// Head returns the cursor of a reader who has everything.
func (r *Ring) Head() Cursor { return Cursor{r.next - 1, r.head} }

// Oldest returns the cursor from which all that is held is still to come.
func (r *Ring) Oldest() Cursor { return Cursor{r.first - 1, r.base} }

// Find returns the cursor of a reader whose last kept entry has the given mark,
// and whether the ring can continue from there without a gap.
func (r *Ring) Find(mark uint64) (Cursor, bool) {
	if mark < r.base || mark > r.head {
		return Cursor{}, false
	}
	// The last entry whose mark is at most this one: ephemeral entries after it
	// are old news to somebody who comes back, so they are passed over too.
	n := sort.Search(r.len(), func(i int) bool { return r.at(r.first+uint64(i)).mark > mark })
	return Cursor{r.first + uint64(n) - 1, mark}, true
}

// Gap is what a cursor that the ring has overtaken lacks.
type Gap struct {
	From, To uint64 // offsets, both inclusive; only where the channel keeps messages
	Missed   uint64 // messages; only where it keeps none
	// Epoch: the cursor is of another epoch, and so is From. The one of now began
	// after Origin, and To is not below it.
	Epoch  bool
	Origin uint64
}

// Overtaken reports whether entries after c are gone. If so, it returns the
// cursor to go on from, and the gap, which is nil when only ephemeral entries
// were lost.
func (r *Ring) Overtaken(c Cursor) (resume Cursor, gap *Gap, overtaken bool) {
	if c.Seq+1 >= r.first {
		return c, nil, false
	}
	switch {
	case c.Seq+1 < r.born && r.kept:
		gap = &Gap{From: c.Mark + 1, To: max(c.Mark+1, r.origin), Epoch: true, Origin: r.origin}
	case r.base <= c.Mark:
	case r.kept:
		gap = &Gap{From: c.Mark + 1, To: r.base}
	default:
		gap = &Gap{Missed: r.base - c.Mark}
	}
	return r.Oldest(), gap, true
}

// After returns the entry that comes next after c, which is not overtaken; nil:
// there is none.
func (r *Ring) After(c Cursor) *Entry {
	if c.Seq+1 >= r.next {
		return nil
	}
	return r.at(c.Seq + 1).entry
}

// Fill reads the entries after from into b, whose earlier content is replaced,
// until b holds limit bytes of text frames (at least one entry). from must not
// be overtaken. With conflate, an entry whose key has a newer one in the ring
// is left out; so are ephemeral entries older than the newest kept one, for a
// reader so far behind has no use for them.
func (r *Ring) Fill(b *Batch, from Cursor, limit int, conflate bool) {
	b.reset(from)
	for seq := from.Seq + 1; seq < r.next; seq++ {
		s := r.at(seq)
		if conflate && r.stale(seq, s) {
			b.To = Cursor{seq, s.mark}
			continue
		}
		if !b.add(s.entry, Cursor{seq, s.mark}, limit) {
			return
		}
	}
	b.Whole = true
}

// Extend adds to b, which Fill made of this ring, what has come since, as far as
// the limit allows, and reports whether that was anything. It adds nothing when
// the ring has overtaken the batch's end.
func (r *Ring) Extend(b *Batch, limit int) bool {
	before := b.To
	if b.To.Seq+1 < r.first {
		return false
	}
	for seq := b.To.Seq + 1; seq < r.next; seq++ {
		s := r.at(seq)
		if !b.add(s.entry, Cursor{seq, s.mark}, limit) {
			break
		}
	}
	return b.To != before
}

func (r *Ring) stale(seq uint64, s *slot) bool {
	if s.entry.Ephemeral {
		return s.mark < r.head
	}
	return r.keyed && s.entry.Key != "" && r.latest[s.entry.Key] != seq
}

func (r *Ring) len() int { return int(r.next - r.first) }

func (r *Ring) at(seq uint64) *slot { return &r.slots[seq&uint64(len(r.slots)-1)] }

func (r *Ring) drop() {
	s := r.at(r.first)
	r.base = s.mark
	r.bytes -= s.entry.Size()
	if r.keyed && s.entry.Key != "" && r.latest[s.entry.Key] == r.first {
		delete(r.latest, s.entry.Key)
	}
	*s = slot{}
	r.first++
}

func (r *Ring) grow() {
	slots := make([]slot, max(smallestRing, 2*len(r.slots)))
	for seq := r.first; seq < r.next; seq++ {
		slots[seq&uint64(len(slots)-1)] = *r.at(seq)
	}
	r.slots = slots
}

// setLatest replaces the key's text too, which aliases its entry: a map keeps
// the key it was first given, and that would keep the first entry's memory.
func (r *Ring) setLatest(key string, seq uint64) {
	if r.latest == nil {
		r.latest = make(map[string]uint64)
	}
	delete(r.latest, key)
	r.latest[key] = seq
}
