package channel

import "sort"

// Latest holds the newest entry of each key of a state channel, in order of
// their offsets. A reader that has read up to an offset goes on from there: it
// meets each key that has changed since once, with its newest value. Deletions are
// entries too, called tombstones, and the newest of them are remembered. It is not
// safe for concurrent use.
type Latest struct {
	keys       map[string]*Entry
	list       []spot // by offset; those that were overwritten are holes
	holes      int
	tombstones []uint64 // offsets of the deletions in list, oldest first
	forgotten  uint64
}

type spot struct {
	offset uint64
	entry  *Entry // nil: a hole
}

// MaxTombstones is how many deletions a Latest remembers.
const MaxTombstones = 1024

// Set makes e the newest of its key. Its offset is higher than any before.
func (l *Latest) Set(e *Entry) {
	if l.keys == nil {
		l.keys = make(map[string]*Entry)
	}
	if old := l.keys[e.Key]; old != nil {
		l.remove(old)
	}
	l.keys[e.Key] = e
	l.list = append(l.list, spot{e.Offset, e})
	if e.Deleted {
		l.tombstones = append(l.tombstones, e.Offset)
		l.forget()
	}
	l.compact()
}

// Has reports whether the key is there and not deleted.
func (l *Latest) Has(key string) bool {
	e := l.keys[key]
	return e != nil && !e.Deleted
}

// Len returns how many keys there are, the deleted ones that are remembered
// among them.
func (l *Latest) Len() int { return len(l.keys) }

// Forgotten returns the offset up to which deletions are forgotten.
func (l *Latest) Forgotten() uint64 { return l.forgotten }

// Expire drops the keys whose newest entry was written before the time, in Unix
// milliseconds.
func (l *Latest) Expire(before int64) {
	for _, s := range l.list {
		if s.entry == nil {
			continue
		}
		if s.entry.Time >= before {
			break
		}
		l.remove(s.entry)
	}
	l.compact()
}

// After returns the entries whose offsets are after the given one, oldest first,
// at most limit of them and about so many bytes, and whether there are more.
func (l *Latest) After(offset uint64, limit, bytes int) (page []*Entry, more bool) {
	size := 0
	for i := l.find(offset + 1); i < len(l.list); i++ {
		e := l.list[i].entry
		if e == nil {
			continue
		}
		size += e.Size()
		if len(page) == limit || size > bytes && len(page) > 0 {
			return page, true
		}
		page = append(page, e)
	}
	return page, false
}

// find returns the first place in list whose offset is not below the given one.
func (l *Latest) find(offset uint64) int {
	return sort.Search(len(l.list), func(i int) bool { return l.list[i].offset >= offset })
}

// remove takes an entry out and leaves a hole.
func (l *Latest) remove(e *Entry) {
	// Not left for Set to overwrite: the map's key text is the entry's own memory.
	delete(l.keys, e.Key)
	if i := l.find(e.Offset); l.list[i].entry != nil {
		l.list[i].entry = nil
		l.holes++
	}
}

// forget drops the oldest deletions past the number that is remembered.
func (l *Latest) forget() {
	for len(l.tombstones) > MaxTombstones {
		offset := l.tombstones[0]
		l.tombstones = l.tombstones[1:]
		l.forgotten = offset
		if i := l.find(offset); i < len(l.list) && l.list[i].offset == offset && l.list[i].entry != nil {
			l.remove(l.list[i].entry)
		}
	}
}

// compact closes the holes once they are as many as the rest.
func (l *Latest) compact() {
	if l.holes < 16 || l.holes*2 < len(l.list) {
		return
	}
	kept := make([]spot, 0, len(l.list)-l.holes)
	for _, s := range l.list {
		if s.entry != nil {
			kept = append(kept, s)
		}
	}
	l.list, l.holes = kept, 0
}
