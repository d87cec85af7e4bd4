package sim

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/lifecycle"
	"ringdown/protocol"
)

// fabric is what the nodes of a cluster share: logs, and the ways to them, which
// take their time and lose things. It keeps the law of package broker.
type fabric struct {
	mu    sync.Mutex
	rng   *rand.Rand
	logs  map[string]*log
	ports map[*port]bool
	made  int // epochs
}

// log is one channel. Its offsets leave some out.
type log struct {
	epoch   string
	head    uint64
	oldest  uint64
	entries []*channel.Entry
	keys    map[string]broker.Receipt

	// Of a state channel: its keys, deleted ones too as far as they are remembered,
	// and what each position told.
	latest    map[string]*channel.Entry
	forgotten uint64
	told      map[uint64]told
}

type told struct{ key, data string }

func newFabric(rng *rand.Rand) *fabric {
	return &fabric{rng: rng, logs: map[string]*log{}, ports: map[*port]bool{}}
}

// chance is true so many times in a hundred. With f.mu held.
func (f *fabric) chance(percent int) bool { return f.rng.IntN(100) < percent }

// slowness is how long a way takes.
func (f *fabric) slowness() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.chance(3) {
		return time.Duration(f.rng.IntN(2000)) * time.Millisecond
	}
	return time.Duration(f.rng.IntN(20_000)) * time.Microsecond
}

func (f *fabric) log(name string) *log {
	l := f.logs[name]
	if l == nil {
		l = f.newLog()
		f.logs[name] = l
	}
	return l
}

func (f *fabric) newLog() *log {
	return &log{epoch: f.epoch(), keys: map[string]broker.Receipt{}, latest: map[string]*channel.Entry{}, told: map[uint64]told{}}
}

func (f *fabric) epoch() string {
	f.made++
	return fmt.Sprint("e", f.made)
}

// lose empties a log, as a store that fails over without its tail does.
func (f *fabric) lose(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.log(name)
	*l = *f.newLog()
	for p := range f.ports {
		p.queue(delivery{name: name, epoch: l.epoch})
	}
}

func (f *fabric) append(name string, d *channel.Declaration, p *broker.Publication) broker.Receipt {
	l := f.log(name)
	if r, ok := l.keys[p.Dedupe]; ok && p.Dedupe != "" {
		r.Duplicate = true
		return r
	}
	m := &p.Message
	m.Time = time.Now().UnixMilli()
	m.Prev, m.Offset, m.Kept = l.head, l.head+1, true
	if f.chance(20) {
		m.Offset += uint64(f.rng.IntN(5))
	}
	l.head = m.Offset
	e := channel.NewEntry(m, false)
	l.entries = append(l.entries, e)
	kept := d.Buffer.Messages // as much of a state channel's past
	if h := d.History; h != nil {
		kept = h.Messages
	}
	if d.State != nil {
		l.set(e, string(m.Data))
		if f.chance(3) {
			l.forget()
		}
	}
	for len(l.entries) > kept {
		l.oldest = l.entries[0].Offset
		l.entries = l.entries[1:]
	}
	r := broker.Receipt{Position: protocol.Position{Epoch: l.epoch, Offset: m.Offset}, Time: m.Time}
	if p.Dedupe != "" {
		l.keys[p.Dedupe] = r
	}
	for p := range f.ports {
		p.queue(delivery{name: name, epoch: l.epoch, entry: e})
	}
	return r
}

func (l *log) set(e *channel.Entry, data string) {
	l.told[e.Offset] = told{e.Key, data}
	delete(l.latest, e.Key) // the map's key text is the entry's own
	l.latest[e.Key] = e
}

// forget drops what was deleted.
func (l *log) forget() {
	for key, e := range l.latest {
		if e.Deleted {
			l.forgotten = max(l.forgotten, e.Offset)
			delete(l.latest, key)
		}
	}
}

// port is one node's way to the fabric: its broker.
type port struct {
	broker.Alone
	f    *fabric
	ctx  context.Context
	end  context.CancelFunc
	work lifecycle.Crew

	// Guarded by f.mu.
	follows map[string][]*follow // by name; copied on change
	line    []delivery
	more    chan struct{} // has one when line is not empty
	deaf    bool          // nothing comes until it is over
}

// delivery is an entry, or without one the news of another epoch.
type delivery struct {
	name, epoch string
	entry       *channel.Entry
	to          []*follow
}

// follow is one follower of a log. Its mu is held while it is told something.
type follow struct {
	port     *port
	name     string
	follower broker.Follower

	mu    sync.Mutex
	begun bool
	ended bool       // guarded by the fabric's mu
	early []delivery // what came before it was told where it begins
}

func (f *follow) take(d delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun {
		f.early = append(f.early, d)
		return
	}
	f.give(d)
}

func (f *follow) give(d delivery) {
	if d.entry != nil {
		f.follower.Entry(d.epoch, d.entry)
	} else {
		f.follower.Restart(protocol.Position{Epoch: d.epoch})
	}
}

func (f *follow) begin(at protocol.Position, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.follower.Begin(at, err)
	f.begun = true
	for _, d := range f.early {
		if err == nil {
			f.give(d)
		}
	}
	f.early = nil
}

// Close ends it, some time later: others may have begun to follow by then.
func (f *follow) Close() {
	p := f.port
	p.f.mu.Lock()
	f.ended = true
	p.f.mu.Unlock()
	p.work.Go(func() {
		p.sleep()
		p.f.mu.Lock()
		defer p.f.mu.Unlock()
		p.drop(f)
	})
}

// drop is called with f.mu held.
func (p *port) drop(f *follow) {
	p.follows[f.name] = slices.DeleteFunc(slices.Clone(p.follows[f.name]), func(o *follow) bool { return o == f })
}

func (f *fabric) port() *port {
	p := &port{f: f, follows: map[string][]*follow{}, more: make(chan struct{}, 1)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// queue is called with f.mu held.
func (p *port) queue(d delivery) {
	if d.to = p.follows[d.name]; len(d.to) == 0 {
		return
	}
	p.line = append(p.line, d)
	p.wake()
}

func (p *port) wake() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *port) Start(context.Context, string, broker.Feed) error {
	p.f.mu.Lock()
	p.f.ports[p] = true
	p.f.mu.Unlock()
	p.work.Go(p.deliver)
	return nil
}

func (p *port) Stop(ctx context.Context) error {
	p.f.mu.Lock()
	delete(p.f.ports, p)
	p.f.mu.Unlock()
	p.end()
	return p.work.Wait(ctx)
}

func (p *port) deliver() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.more:
		}
		if !p.sleep() {
			return
		}
		p.f.mu.Lock()
		line := p.line
		if p.deaf {
			line = nil
		} else {
			p.line = nil
		}
		p.f.mu.Unlock()
		for _, d := range line {
			for _, f := range d.to {
				p.f.mu.Lock()
				wanted := slices.Contains(p.follows[d.name], f)
				p.f.mu.Unlock()
				if wanted {
					f.take(d)
				}
			}
		}
	}
}

// deafen keeps what is published from coming here, until it is called again.
func (p *port) deafen(on bool) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if p.deaf = on; !on {
		p.wake()
	}
}

func (p *port) sleep() bool {
	select {
	case <-p.ctx.Done():
		return false
	case <-time.After(p.f.slowness()):
		return true
	}
}

var errWay = &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, Message: "the way to the store is broken"}

// way is a log as a node opened it.
type way struct {
	*port
	name     string
	declared atomic.Pointer[channel.Declaration]
}

func (p *port) Open(name string, d *channel.Declaration) broker.Log {
	w := &way{port: p, name: name}
	w.declared.Store(d)
	return w
}

func (p *way) Redeclare(d *channel.Declaration) { p.declared.Store(d) }

func (p *way) Append(given *broker.Publication, d broker.Done) {
	pub := *given
	pub.Message = *given.Message.Clone()
	p.work.Go(func() {
		alive := p.sleep()
		p.f.mu.Lock()
		if !alive || p.f.chance(4) {
			p.f.mu.Unlock()
			d.Appended(broker.Receipt{}, errWay)
			return
		}
		r := p.f.append(p.name, p.declared.Load(), &pub)
		lost := p.f.chance(4)
		p.f.mu.Unlock()
		if !p.sleep() || lost {
			d.Appended(broker.Receipt{}, errWay)
			return
		}
		d.Appended(r, nil)
	})
}

func (p *way) Follow(fr broker.Follower) broker.Subscription {
	w := &follow{port: p.port, name: p.name, follower: fr}
	p.work.Go(func() {
		if !p.sleep() {
			w.begin(protocol.Position{}, errWay)
			return
		}
		p.f.mu.Lock()
		l := p.f.log(p.name)
		at := protocol.Position{Epoch: l.epoch, Offset: l.head}
		fails := p.f.chance(3)
		if !fails && !w.ended {
			p.follows[p.name] = append(slices.Clone(p.follows[p.name]), w)
		}
		p.f.mu.Unlock()
		// Whatever comes next waits until the position is told.
		if !p.sleep() || fails {
			w.begin(protocol.Position{}, errWay)
			return
		}
		w.begin(at, nil)
	})
	return w
}

func (p *way) Read(ctx context.Context, r broker.Range) (broker.Page, error) {
	if !p.sleep() || ctx.Err() != nil {
		return broker.Page{}, errWay
	}
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if p.f.chance(3) {
		return broker.Page{}, errWay
	}
	l := p.f.log(p.name)
	page := broker.Page{Epoch: l.epoch, Head: l.head, Oldest: l.oldest}
	from, _ := slices.BinarySearchFunc(l.entries, r.After+1, func(e *channel.Entry, o uint64) int { return cmp.Compare(e.Offset, o) })
	if r.Last > 0 {
		from = max(0, len(l.entries)-r.Last)
	}
	to := min(len(l.entries), from+min(cmp.Or(r.Limit, 7), 7))
	page.Entries, page.More = slices.Clone(l.entries[from:to]), to < len(l.entries)
	return page, nil
}

func (p *way) State(ctx context.Context, r broker.StateRange) (broker.StatePage, error) {
	if !p.sleep() || ctx.Err() != nil {
		return broker.StatePage{}, errWay
	}
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if p.f.chance(3) {
		return broker.StatePage{}, errWay
	}
	l := p.f.log(p.name)
	page := broker.StatePage{Epoch: l.epoch, Head: l.head, Forgotten: l.forgotten}
	for _, e := range l.latest {
		if e.Offset > r.After {
			page.Entries = append(page.Entries, e)
		}
	}
	slices.SortFunc(page.Entries, func(a, b *channel.Entry) int { return cmp.Compare(a.Offset, b.Offset) })
	if most := min(cmp.Or(r.Limit, 7), 7); len(page.Entries) > most {
		page.Entries, page.More = page.Entries[:most], true
	}
	return page, nil
}

func (p *port) Ready(context.Context) error { return nil }

// Nodes and Send make it one that others share.
func (p *port) Nodes(context.Context) ([]string, error)    { return nil, nil }
func (p *port) Send(context.Context, string, []byte) error { return nil }
