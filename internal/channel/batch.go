package channel

import (
	"iter"
	"math"
)

// Batch is a run of entries read from one ring, with their frames side by side
// so that one write carries them all. A batch is reused for the next run, so
// what Bytes returns is valid until the next Fill. Not safe for concurrent use.
type Batch struct {
	From, To Cursor
	Whole    bool // Fill came to the end of the ring
	entries  []*Entry
	cursors  []Cursor
	size     int   // bytes of text frames
	forms    []run // by form, as far as any was asked for
}

// run is the concatenation of the entries' frames in one form.
type run struct {
	made  bool
	bytes []byte
	ends  []int
	own   []byte // the buffer that bytes stands in when there are several entries
}

func (b *Batch) reset(from Cursor) {
	clear(b.entries)
	b.entries, b.cursors = b.entries[:0], b.cursors[:0]
	b.From, b.To, b.Whole, b.size = from, from, false, 0
	b.unmake()
}

// unmake forgets the concatenations, because the entries have changed.
func (b *Batch) unmake() {
	for f := range b.forms {
		b.forms[f].made = false
		b.forms[f].bytes = nil
	}
}

// add appends an entry, unless the batch holds one already and would pass limit.
func (b *Batch) add(e *Entry, at Cursor, limit int) bool {
	if len(b.entries) > 0 && b.size+len(e.frame) > limit {
		return false
	}
	b.size += len(e.frame)
	b.entries = append(b.entries, e)
	b.cursors = append(b.cursors, at)
	b.To = at
	b.unmake()
	return true
}

// Release lets go of the entries, so that an idle batch pins no memory, and of
// a buffer that has grown past keep bytes.
func (b *Batch) Release(keep int) {
	b.reset(Cursor{})
	for f := range b.forms {
		if cap(b.forms[f].own) > keep {
			b.forms[f].own = nil
		}
	}
}

// Len returns the number of entries.
func (b *Batch) Len() int { return len(b.entries) }

// Size returns the bytes of the entries' text frames.
func (b *Batch) Size() int { return b.size }

// Count returns the number of entries after the cursor c.
func (b *Batch) Count(c Cursor) int { return len(b.entries) - b.after(c) }

// Entries yields the entries after the cursor c, each with the cursor behind it.
func (b *Batch) Entries(c Cursor) iter.Seq2[*Entry, Cursor] {
	return func(yield func(*Entry, Cursor) bool) {
		for i := b.after(c); i < len(b.entries); i++ {
			if !yield(b.entries[i], b.cursors[i]) {
				return
			}
		}
	}
}

// Bytes returns the frames of all the entries after the cursor c in form f, nil
// when there are none.
func (b *Batch) Bytes(f Form, c Cursor) []byte {
	for int(f) >= len(b.forms) {
		b.forms = append(b.forms, run{})
	}
	r := &b.forms[f]
	if !r.made {
		b.concat(r, f)
	}
	if i := b.after(c); i > 0 {
		return r.bytes[r.ends[i-1]:]
	}
	return r.bytes
}

// Split says what is true after the first n of the bytes that Bytes(f, c)
// returned were written: the cursor to go on from, and the rest of the frame
// that was cut through. When n falls between two frames, rest is the whole next
// one, so that whoever waits for the socket always has something to hand over.
// The rest is the entry's own memory and stays valid. n is less than all.
func (b *Batch) Split(f Form, c Cursor, n int) (next Cursor, rest []byte) {
	r := &b.forms[f]
	i := b.after(c)
	if i > 0 {
		n += r.ends[i-1]
	}
	for r.ends[i] <= n {
		i++
	}
	frame := b.entries[i].Frame(f)
	return b.cursors[i], frame[len(frame)-(r.ends[i]-n):]
}

// after returns the index of the first entry after c. Nearly always c is From.
func (b *Batch) after(c Cursor) int {
	i := 0
	if c.Seq > b.From.Seq {
		for i < len(b.cursors) && b.cursors[i].Seq <= c.Seq {
			i++
		}
	}
	return i
}

func (b *Batch) concat(r *run, f Form) {
	r.made = true
	r.ends = r.ends[:0]
	if len(b.entries) == 1 {
		// The usual case at low load: the entry's own frame, no copy.
		r.bytes = b.entries[0].Frame(f)
		r.ends = append(r.ends, len(r.bytes))
		return
	}
	r.own = r.own[:0]
	for _, e := range b.entries {
		r.own = append(r.own, e.Frame(f)...)
		r.ends = append(r.ends, len(r.own))
	}
	r.bytes = r.own
}

// Load fills b with a page of kept entries that came from the store and not
// from a ring, following the offset after. Its cursors carry marks only.
func (b *Batch) Load(after uint64, entries []*Entry) {
	b.reset(Cursor{Mark: after})
	for _, e := range entries {
		b.add(e, Cursor{Mark: e.Offset}, math.MaxInt)
	}
}
