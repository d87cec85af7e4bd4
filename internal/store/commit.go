package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ringdown/protocol"
)

// The bounds of a group: what is gathered into one batch.
const (
	groupItems = 8192
	groupBytes = 4 << 20
)

// group is one batch in the making.
type group struct {
	items   []item
	wrote   int       // how many items the group before had, if it was written
	results []outcome // of each of items
	batch   *pebble.Batch
	touched map[*head]string // logs whose heads changed, and their names
	deduped int              // idempotency keys in it
	broken  error            // it cannot be written
	ahead   *item            // a claim that proves that the store was set back
	before  counters         // for taking it all back
	now     int64
	key     []byte
	value   []byte
}

type outcome struct {
	result Result
	err    error
}

// commits is the committer's goroutine.
func (s *Store) commits() {
	defer close(s.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.gather()
		if s.take() {
			s.commit()
			s.syncOld()
			continue
		}
		timer.Reset(s.syncIn())
		select {
		case <-s.wake:
		case <-timer.C:
			s.syncOld()
		case <-s.stopping:
			// Nothing is queued any more once closed is set, so one look is enough.
			for s.take() {
				s.commit()
			}
			return
		}
	}
}

// gather waits a little for those who were told of the group before to send what
// comes next, so that they share an fsync again and not every second one. It is
// bounded by a part of what an fsync takes.
func (s *Store) gather() {
	want := s.group.wrote
	if s.opts.Fsync != Always || want < 4 {
		return
	}
	for until := time.Now().Add(s.syncTook / 8); ; time.Sleep(20 * time.Microsecond) {
		s.mu.Lock()
		n := len(s.queue)
		s.mu.Unlock()
		if n == 0 || n >= want || time.Now().After(until) {
			return
		}
	}
}

// take moves what is queued into the group and reports whether there is anything.
func (s *Store) take() bool {
	g := &s.group
	g.items, g.results = g.items[:0], g.results[:0]
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes, n := int64(0), 0
	for n < len(s.queue) && n < groupItems && (n == 0 || bytes+s.queue[n].bytes <= groupBytes) {
		bytes += s.queue[n].bytes
		n++
	}
	g.items = append(g.items, s.queue[:n]...)
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	if cap(s.queue) > 4*groupItems && rest == 0 {
		s.queue = nil
	}
	s.queued -= bytes
	return n > 0
}

// commit makes the group durable and tells everybody in it, in order.
func (s *Store) commit() {
	g := &s.group
	began := time.Now()
	g.now = s.opts.Now().UnixMilli()
	g.before, g.deduped, g.broken, g.ahead = s.counters, 0, nil, nil
	clear(g.touched)
	g.batch = s.newBatch()
	s.advanceMinute()
	for _, it := range g.items {
		var o outcome
		switch {
		case it.append != nil:
			o.result, o.err = s.add(it.append)
		case it.position != nil:
			o = s.positionOf(it.log)
		case it.trim && g.broken == nil:
			g.broken = s.expire(it.log)
		case it.claim != nil:
			s.judge(it)
		case it.try:
			_ = g.batch.Set(storeKey, nil, nil) // finish writes what it says
		}
		g.results = append(g.results, o)
	}
	err := g.broken
	if err == nil {
		err = s.finish()
	}
	if err == nil && !g.batch.Empty() {
		if err = s.persist(); err == nil {
			g.wrote = len(g.items)
			s.metrics.commit(len(g.items), time.Since(began))
		}
	}
	g.batch.Close()
	g.batch = nil
	if err != nil {
		s.takeBack(err)
	}
	for i, it := range g.items {
		switch {
		case it.append != nil:
			it.append.Done.Appended(it.append, g.results[i].result, g.results[i].err)
		case it.position != nil:
			it.position(g.results[i].result.Offset, g.results[i].err)
		}
		g.items[i] = item{}
	}
	if g.ahead != nil {
		s.restart(g.ahead)
	}
	s.evict()
	if s.flushed.CompareAndSwap(true, false) {
		s.release()
	}
}

// newBatch makes one that can be read from if anything in the group has to see
// what the group itself has written.
func (s *Store) newBatch() *pebble.Batch {
	for _, it := range s.group.items {
		if it.trim || it.append != nil && (it.append.Dedupe != "" || it.append.Keep != nil && it.append.Keep.State) {
			return s.db.NewIndexedBatch()
		}
	}
	return s.db.NewBatch()
}

// reader reads the database as it is with the group.
func (g *group) reader(s *Store) pebble.Reader {
	if g.batch != nil && g.batch.Indexed() {
		return g.batch
	}
	return s.db
}

// add puts one message into the group.
func (s *Store) add(a *Append) (r Result, err error) {
	g := &s.group
	r.Time = g.now
	if a.Keep == nil && a.Dedupe == "" {
		a.Message.Time = g.now
		return r, nil
	}
	if s.failure.Load() != nil || s.full.Load() {
		return Result{}, s.admit(a)
	}
	if a.Dedupe != "" {
		if old, found, err := s.remembered(a); err != nil || found {
			return old, err
		}
	}
	if a.Keep != nil {
		if err := s.keep(a); err != nil {
			return Result{}, err
		}
		r.Offset = a.Message.Offset
	}
	a.Message.Time = g.now
	if a.Dedupe != "" {
		err = s.remember(a, r)
	}
	return r, err
}

// keep gives a message its place in its log.
func (s *Store) keep(a *Append) error {
	g, m := &s.group, a.Message
	h, err := s.head(a.Log)
	if err != nil {
		return s.readError(err)
	}
	if h == nil {
		if h, err = s.make(a.Log); err != nil {
			return err
		}
	}
	rec := Record{
		Offset: h.offset + 1, Prev: h.offset, Time: g.now,
		Type: m.Type, Key: m.Key, From: m.From, Data: m.Data, Binary: m.Binary,
		Deleted: m.Key != "" && !m.Binary && string(m.Data) == "null",
	}
	if m.Channel != a.Log {
		rec.Channel = m.Channel
	}
	if rec.Offset > protocol.MaxOffset {
		return protocol.Errorf(protocol.CodeLimitExceeded, "channel %q has given out all its offsets", a.Log)
	}
	h.total += uint64(rec.Size())
	rec.total = h.total
	if a.Keep.State && m.Key != "" {
		if err := s.latest(a.Log, h, &rec); err != nil {
			h.total -= uint64(rec.Size())
			return err
		}
	}
	if err := g.put(kindMessage, h.id, &rec); err != nil {
		g.broken = err
	}
	h.offset, h.time, h.keep = rec.Offset, g.now, *a.Keep
	m.Offset, m.Prev, m.Time, m.Kept = rec.Offset, rec.Prev, g.now, true
	g.touched[h] = a.Log
	return nil
}

// make makes a log. Where one of its name was forgotten, its offsets go on.
func (s *Store) make(name string) (*head, error) {
	if s.channels >= uint64(s.opts.Channels) {
		return nil, (&protocol.Error{Code: protocol.CodeLimitExceeded, Message: fmt.Sprintf("the store of this server holds its limit of %d channels; "+
			"there is room again when all messages of some have expired (for, of history or state)", s.opts.Channels)}).WithReason("store_channels")
	}
	floor, err := s.floor(name)
	if err != nil {
		return nil, s.readError(err)
	}
	s.channels++
	s.newest++
	h := &head{id: s.newest, offset: floor, trimmed: floor, forgotten: floor}
	s.logs[strings.Clone(name)] = h // the name is the publisher's memory
	return h, nil
}

// put writes a record into the group.
func (g *group) put(kind byte, id uint64, r *Record) error {
	g.key = offsetKey(g.key, kind, id, r.Offset)
	g.value = r.append(headroom(g.value))
	return g.batch.Set(g.key, seal(g.key, g.value), nil)
}

// finish writes the heads that changed, and what the whole batch needs.
func (s *Store) finish() error {
	g := &s.group
	for h, name := range g.touched {
		if err := s.trim(h); err != nil {
			return err
		}
		g.key = channelKey(g.key, name)
		g.value = h.append(headroom(g.value))
		if err := g.batch.Set(g.key, seal(g.key, g.value), nil); err != nil {
			return err
		}
	}
	if g.batch.Empty() {
		return nil
	}
	if s.advanced {
		if err := g.batch.DeleteRange([]byte{kindDedupe}, minuteKey(max(s.minute, dedupeMinutes)-dedupeMinutes+2), nil); err != nil {
			return err
		}
	}
	return g.batch.Set(storeKey, s.encode(s.lsn+1), nil)
}

// counters are what the store counts.
type counters struct {
	newest   uint64 // the number of the newest channel
	channels uint64 // how many there are
}

func (c counters) encode(lsn uint64) []byte {
	v := binary.BigEndian.AppendUint64(headroom(nil), lsn)
	v = binary.BigEndian.AppendUint64(v, c.newest)
	return seal(storeKey, binary.BigEndian.AppendUint64(v, c.channels))
}

func decodeCounters(value []byte) (lsn uint64, c counters, err error) {
	body, err := unseal(storeKey, value)
	if err != nil || len(body) != 16 && len(body) != 24 {
		return 0, c, errBad
	}
	lsn, c.newest = binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:])
	c.channels = c.newest // in format 1, which forgot none
	if len(body) == 24 {
		c.channels = binary.BigEndian.Uint64(body[16:])
	}
	return lsn, c, nil
}

// positionOf finds where a log stands, the group so far included.
func (s *Store) positionOf(log string) (o outcome) {
	h, err := s.head(log)
	if err == nil && h != nil {
		o.result.Offset = h.offset
	} else if err == nil {
		o.result.Offset, err = s.floor(log)
	}
	if err != nil {
		o.err = s.readError(err)
	}
	return o
}

// advanceMinute moves the clock of idempotency keys on. It goes on with the wall clock,
// but never back: a clock that is set back must not bring forgotten keys up
// again, nor hide the others.
func (s *Store) advanceMinute() {
	s.clock += max(0, s.group.now-s.wall)
	s.wall = s.group.now
	m := minuteOf(s.clock)
	for n := s.minute + 1; n <= m && n <= s.minute+dedupeMinutes; n++ {
		s.dedupes[n%dedupeMinutes] = 0
	}
	if m > s.minute {
		s.minute, s.advanced = m, true
	}
}

// head returns what is known of a log, nil if there is none.
func (s *Store) head(name string) (*head, error) {
	if h := s.logs[name]; h != nil {
		return h, nil
	}
	key := channelKey(nil, name)
	value, closer, err := s.group.reader(s).Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	h := &head{}
	if err := readHead(key, value, h); err != nil {
		return nil, err
	}
	s.logs[strings.Clone(name)] = h
	return h, nil
}

// evict keeps the heads in memory within their bound. Any of them can go, for
// the database has them all.
func (s *Store) evict() {
	if len(s.logs) <= s.opts.CachedLogs {
		return
	}
	for name := range s.logs {
		delete(s.logs, name)
		if len(s.logs) <= s.opts.CachedLogs*7/8 {
			return
		}
	}
}

// readError makes of what reading the database failed with what a client may
// hear, and remembers damage.
func (s *Store) readError(err error) error {
	if errors.Is(err, errBad) || pebble.IsCorruptionError(err) {
		s.damaged(s.path(databaseName), err)
	} else {
		s.opts.Logger.Error("reading the store failed", "error", err)
	}
	return &protocol.Error{Code: protocol.CodeInternal, Message: "this server cannot read what it kept of this channel; its log says why"}
}
