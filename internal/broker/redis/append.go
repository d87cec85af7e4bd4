package redis

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Publications go through lanes: those of one channel through the same one, in
// their order. A lane has one batch on its way at a time; what comes meanwhile
// makes the next. So one connection carries many messages in each round trip,
// at low load without waiting, and no goroutine belongs to a publication.
const (
	lanes      = 8
	batchCount = 256
	batchBytes = 1 << 20
)

type lane struct {
	mu    sync.Mutex
	queue []*publication
	ended bool // nothing is taken any more
	wake  chan struct{}
}

// publication is one that is on its way. It owns its memory.
type publication struct {
	log      *log
	declared *channel.Declaration // as of when it was accepted
	done     broker.Done
	message  string
	dedupe   string
	// fingerprint is empty without a dedupe key.
	fingerprint string
	key         string // on a state channel
	deleted     bool   // the key is
	ephemeral   bool
	expires     time.Time
	told        []point // what the script was told this node has seen
}

// kept reports whether q gets an offset.
func (q *publication) kept() bool { return !q.ephemeral && q.declared.Kept() }

var laneSeed = maphash.MakeSeed()

// Append accepts a publication.
func (l *log) Append(p *broker.Publication, d broker.Done) {
	q := &publication{log: l, declared: l.declared.Load(), done: d, message: encode(p), dedupe: strings.Clone(p.Dedupe),
		ephemeral: p.Ephemeral, expires: time.Now().Add(l.broker.opts.Timeout)}
	if q.declared.State != nil && p.Message.Key != "" {
		q.key = strings.Clone(p.Message.Key)
		q.deleted = !p.Message.Binary && string(p.Message.Data) == "null"
	}
	if q.dedupe != "" {
		q.fingerprint = strconv.FormatUint(p.Fingerprint(), 16)
	}
	if err := l.broker.admit(q); err != nil {
		d.Appended(broker.Receipt{}, err)
	}
}

func (b *Broker) admit(q *publication) error {
	if b.closing.Load() || b.server.down.Load() {
		return b.failure(errDown)
	}
	waiting, bytes := b.pending.Add(1), b.bytes.Add(int64(len(q.message)))
	if waiting > int64(b.opts.Pending) || bytes > int64(b.opts.PendingBytes) {
		b.settle(q)
		return &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: time.Second,
			Message: "too many publications wait for the message broker; nothing was done, try again"}
	}
	l := &b.lanes[maphash.String(laneSeed, q.log.name)%lanes]
	l.mu.Lock()
	ended := l.ended
	if !ended {
		l.queue = append(l.queue, q)
	}
	l.mu.Unlock()
	if ended {
		b.settle(q)
		return b.failure(errDown)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// settle gives back the room that q took.
func (b *Broker) settle(q *publication) {
	b.pending.Add(-1)
	b.bytes.Add(-int64(len(q.message)))
}

func (b *Broker) answer(q *publication, r broker.Receipt, err error) {
	b.settle(q)
	if err != nil {
		r, err = broker.Receipt{}, b.failure(err)
	}
	q.done.Appended(r, err)
}

// take returns the next batch of a lane.
func (l *lane) take() []*publication {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, 0
	for n < len(l.queue) && n < batchCount && (n == 0 || size < batchBytes) {
		size += len(l.queue[n].message)
		n++
	}
	batch := l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return batch
}

// back puts publications back to the front, whose slot is on the move. They have
// their order still; only one that was sent with them and found the move ended
// is before them.
func (l *lane) back(list []*publication) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.Concat(list, l.queue)
}

// drive sends a lane's batches.
func (b *Broker) drive(l *lane) {
	for {
		batch := l.take()
		if len(batch) > 0 {
			if later := b.send(batch); len(later) > 0 {
				l.back(later)
				b.doze(movingPause)
			}
			continue
		}
		l.mu.Lock()
		end := l.ended && len(l.queue) == 0
		l.mu.Unlock()
		if end {
			return
		}
		select {
		case <-l.wake:
		case <-b.ctx.Done():
			return
		}
	}
}

// drain answers everything that waits and takes nothing more.
func (b *Broker) drain(ctx context.Context) {
	for i := range b.lanes {
		l := &b.lanes[i]
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for b.pending.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// abandon answers what drain had no time for. The lanes have ended.
func (b *Broker) abandon() {
	for i := range b.lanes {
		for batch := b.lanes[i].take(); len(batch) > 0; batch = b.lanes[i].take() {
			for _, q := range batch {
				b.answer(q, broker.Receipt{}, errDown)
			}
		}
	}
}

// send runs a batch and answers it, but for those that are to be sent again.
func (b *Broker) send(batch []*publication) (later []*publication) {
	now := time.Now()
	calls := make([]call, 0, len(batch))
	sent := batch[:0:0]
	for _, q := range batch {
		if b.server.down.Load() || now.After(q.expires) {
			b.answer(q, broker.Receipt{}, errDown) // it was never asked
			continue
		}
		sent = append(sent, q)
		calls = append(calls, b.publishCall(q))
	}
	if len(calls) == 0 {
		return nil
	}
	replies := b.once(b.ctx, calls...)
	told := map[string][]point{} // what this batch showed already, in the order of its channel
	for i, q := range sent {
		if moving(replies[i].err) && b.ctx.Err() == nil {
			later = append(later, q)
			continue
		}
		r, err := b.receipt(q, replies[i], told)
		b.answer(q, r, err)
	}
	return later
}

func (b *Broker) publishCall(q *publication) call {
	base := b.base(q.log.name)
	window := number(broker.DedupeWindow.Milliseconds())
	if !q.kept() {
		c := call{announceScript, []string{base + metaKey}, []string{base, b.publish, b.clock(), q.message, flag(q.ephemeral), window}}
		if q.dedupe != "" {
			c.keys, c.args = append(c.keys, base+dedupeKey+q.dedupe), append(c.args, q.fingerprint)
		}
		return c
	}
	messages, bytes, age := limits(q.declared)
	s := publishScript
	if bytes != "0" || age != "0" || q.declared.State != nil {
		s = publishAll
	}
	q.told = b.evidence.seen(q.log.name)
	c := b.logCall(s, q.log.name, q.declared, q.told, q.message, messages, bytes, age, window, q.fingerprint)
	if q.declared.State != nil {
		c.args = append(c.args, q.key, flag(q.deleted), stateAge(q.declared), strconv.Itoa(b.opts.StateKeys), strconv.Itoa(channel.MaxTombstones))
	}
	if q.dedupe != "" {
		c.keys = append(c.keys, base+dedupeKey+q.dedupe)
	}
	return c
}

// flag is a bool as the scripts take it.
func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// receipt reads what the script answered.
func (b *Broker) receipt(q *publication, r reply, told map[string][]point) (broker.Receipt, error) {
	if r.err != nil {
		return broker.Receipt{}, r.err
	}
	if !q.kept() {
		f, err := r.texts(2)
		if err != nil {
			return broker.Receipt{}, err
		}
		if f[0] == "reused" {
			return broker.Receipt{}, broker.ErrReused
		}
		time, ok := parseTime(f[1])
		if !ok {
			return broker.Receipt{}, errGarbled
		}
		return broker.Receipt{Time: time, Duplicate: f[0] == "again"}, nil
	}
	f, err := r.texts(5)
	if err != nil {
		return broker.Receipt{}, err
	}
	if f[0] == "reused" {
		return broker.Receipt{}, broker.ErrReused
	}
	if f[0] == "keys" {
		return broker.Receipt{}, protocol.Errorf(protocol.CodeLimitExceeded, "channel %q has its limit of %d keys; delete some (data null) or let them expire", q.log.name, b.opts.StateKeys)
	}
	offset, ok := parseOffset(f[2])
	time, right := parseTime(f[3])
	if !ok || !right {
		return broker.Receipt{}, errGarbled
	}
	if f[0] == "again" && f[1] == "-" {
		// It was accepted when the channel kept nothing.
		return broker.Receipt{Time: time, Duplicate: true}, nil
	}
	if f[0] == "ok" {
		p := point{f[1], offset, f[4], b.lineage()}
		b.evidence.add(q.log.name, append(told[q.log.name], q.told...), p)
		told[q.log.name] = append(told[q.log.name], p)
	}
	return broker.Receipt{Position: protocol.Position{Epoch: f[1], Offset: offset}, Time: time, Duplicate: f[0] == "again"}, nil
}
