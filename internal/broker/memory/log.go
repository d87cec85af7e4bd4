package memory

import (
	"cmp"
	"slices"
	"sort"
	"sync"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// log is one channel. Every field is guarded by mu, but for name.
type log struct {
	name string

	mu        sync.Mutex
	head      uint64           // offset of the newest kept message ever
	floor     uint64           // where head began: above the offsets of a log of this name that was dropped
	entries   []*channel.Entry // what is still kept, oldest first
	start     int              // where in entries the oldest one stands
	bytes     int64
	declared  *channel.Declaration // as of the newest publication
	followers *subscription
	dropped   bool // no longer in the map: look it up again

	latest  *channel.Latest // of state channels that have keys
	dedupes *dedupes        // nil: none are remembered
}

// dedupes are the idempotency keys that a channel remembers.
type dedupes struct {
	keys  map[string]remembered
	order []dedupeKey // oldest first
}

// remembered is what was accepted under a key.
type remembered struct {
	broker.Receipt
	fingerprint uint64
}

type dedupeKey struct {
	key     string
	expires int64 // Unix milliseconds
}

// idle reports whether dropping the log would lose nothing: all that it gave out
// offsets for has expired.
func (l *log) idle() bool {
	return l.followers == nil && l.start == len(l.entries) && (l.latest == nil || l.latest.Len() == 0) && l.dedupes == nil
}

func (l *log) append(b *Broker, p *broker.Publication, d *channel.Declaration) (broker.Receipt, error) {
	now := b.opts.Now().UnixMilli()
	if p.Dedupe != "" {
		if r, ok := l.dedupes.find(p.Dedupe); ok && now-r.Time < broker.DedupeWindow.Milliseconds() {
			if r.fingerprint != p.Fingerprint() {
				return broker.Receipt{}, broker.ErrReused
			}
			r.Duplicate = true
			return r.Receipt, nil
		}
		if b.dedupes.Load() >= int64(b.opts.DedupeKeys) {
			return broker.Receipt{}, &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: 10 * time.Second,
				Message: "too many publications with a dedupe key are remembered; publish without one or try again later"}
		}
	}
	keep := d.Kept() && !p.Ephemeral
	keyed := keep && d.State != nil && p.Message.Key != ""
	if keyed && l.latest == nil {
		l.latest = new(channel.Latest)
	}
	if keyed && l.latest.Len() >= b.opts.StateKeys && !l.latest.Has(p.Message.Key) {
		return broker.Receipt{}, protocol.Errorf(protocol.CodeLimitExceeded, "channel %q has its limit of %d keys; delete some (data null) or let them expire", l.name, b.opts.StateKeys)
	}
	r := broker.Receipt{Time: now}
	if keep {
		r.Position = protocol.Position{Epoch: b.epoch, Offset: l.head + 1}
	}
	if p.Dedupe != "" {
		l.remember(b, p.Dedupe, remembered{r, p.Fingerprint()})
	}
	if !keep && l.followers == nil {
		return r, nil // nobody would ever see it
	}
	p.Message.Time = now
	p.Message.Offset, p.Message.Prev = r.Position.Offset, 0
	p.Message.Kept = keep
	if keep {
		p.Message.Prev = l.head
		l.head++
	}
	e := channel.NewEntry(&p.Message, p.Ephemeral)
	if keep {
		l.declared = d
		l.keep(e)
		if keyed {
			l.latest.Set(e)
		}
		l.trim(d, now)
	}
	for s := l.followers; s != nil; s = s.next {
		s.follower.Entry(b.epoch, e)
	}
	return r, nil
}

// keep appends e, moving what is kept to the front of the slice once the room
// before it is as large as what is kept.
func (l *log) keep(e *channel.Entry) {
	if len(l.entries) == cap(l.entries) && l.start*2 >= len(l.entries) {
		n := copy(l.entries, l.entries[l.start:])
		clear(l.entries[n:])
		l.entries, l.start = l.entries[:n], 0
	}
	l.entries = append(l.entries, e)
	l.bytes += int64(e.Size())
}

// expire drops the keys that nobody wrote to for too long.
func (l *log) expire(d *channel.Declaration, now int64) {
	if l.latest == nil || d == nil || d.State == nil || d.State.For <= 0 {
		return
	}
	l.latest.Expire(now - d.State.For.Milliseconds())
}

// trim drops the oldest entries past what d keeps.
func (l *log) trim(d *channel.Declaration, now int64) {
	if d == nil {
		return
	}
	h := channel.History{}
	switch {
	case d.History != nil:
		h = *d.History
	case d.State != nil:
		// A state channel is followed by its keys' latest messages, not by its past.
		h = channel.History{Messages: d.Buffer.Messages, For: d.State.For}
	}
	for l.start < len(l.entries) {
		e := l.entries[l.start]
		kept := len(l.entries) - l.start
		if !(h.Messages > 0 && kept > h.Messages ||
			h.Bytes > 0 && l.bytes > h.Bytes && kept > 1 ||
			h.For > 0 && now-e.Time > h.For.Milliseconds()) {
			break
		}
		l.entries[l.start] = nil
		l.start++
		l.bytes -= int64(e.Size())
	}
	if l.start == len(l.entries) {
		l.entries, l.start = nil, 0
	}
}

func (l *log) read(r broker.Range) broker.Page {
	kept := l.entries[l.start:]
	page := broker.Page{Head: l.head, Oldest: l.head}
	if len(kept) > 0 {
		page.Oldest = kept[0].Prev
	}
	limit, bytes := cmp.Or(r.Limit, defaultLimit), cmp.Or(r.Bytes, defaultBytes)
	from := sort.Search(len(kept), func(i int) bool { return kept[i].Offset > r.After })
	if r.Last > 0 {
		from = max(0, len(kept)-r.Last)
	}
	if r.Before > 0 {
		oldest := from
		to := max(oldest, sort.Search(len(kept), func(i int) bool { return kept[i].Offset >= r.Before }))
		from = to
		for size := 0; from > oldest && to-from < limit; from-- {
			if size += kept[from-1].Size(); size > bytes && from < to {
				break
			}
		}
		page.Entries, page.More = slices.Clone(kept[from:to]), from > oldest
		return page
	}
	to := from
	for size := 0; to < len(kept) && to-from < limit; to++ {
		if size += kept[to].Size(); size > bytes && to > from {
			break
		}
	}
	page.Entries, page.More = slices.Clone(kept[from:to]), to < len(kept)
	return page
}

func (l *log) remember(b *Broker, key string, r remembered) {
	if l.dedupes == nil {
		l.dedupes = &dedupes{keys: make(map[string]remembered)}
	}
	d := l.dedupes
	key = string([]byte(key))
	if _, again := d.keys[key]; !again {
		b.dedupes.Add(1)
	}
	d.keys[key] = r
	d.order = append(d.order, dedupeKey{key, r.Time + broker.DedupeWindow.Milliseconds()})
}

func (d *dedupes) find(key string) (remembered, bool) {
	if d == nil {
		return remembered{}, false
	}
	r, ok := d.keys[key]
	return r, ok
}

// forget drops the expired dedupe keys and returns how many. It is the
// sweeper's: a key that is merely expired does no harm, append looks at its time.
func (l *log) forget(now int64) int {
	d := l.dedupes
	if d == nil {
		return 0
	}
	n, gone := 0, 0
	for n < len(d.order) && d.order[n].expires <= now {
		key := d.order[n].key
		n++
		// The key may have been used again since; then a later entry expires it.
		if d.keys[key].Time+broker.DedupeWindow.Milliseconds() <= now {
			delete(d.keys, key)
			gone++
		}
	}
	if n > 0 {
		d.order = append(d.order[:0:0], d.order[n:]...)
	}
	if len(d.keys) == 0 {
		l.dedupes = nil
	}
	return gone
}
