package history

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// model is a server and its clients in a few lines, correct unless told to have
// a bug. It is what the checker itself is tested with.
type model struct {
	rng     *rand.Rand
	rec     *Recorder
	clock   time.Duration
	bug     string
	planted int

	durable bool // the log survives a crash
	sparse  bool // offsets leave some out
	kept    int

	epoch   int
	head    uint64
	oldest  uint64 // everything after it is kept
	log     []item
	dedupe  map[string]item
	subs    []*subscriber
	pending []*publication
	unknown []*publication // may be sent again
	acked   []*publication
	ids     int
}

type item struct {
	offset, prev uint64
	id           string
}

type publication struct {
	client, id, key string
	stored          *item
}

type subscriber struct {
	name  string
	on    bool // connected and following
	deaf  bool // the bug that it is never given anything again
	epoch string
	last  uint64 // what the client knows that it has
}

const modelChannel = "c"

// run makes a history of so many steps.
func run(seed uint64, steps int, bug string) (events []Event, p Policy, planted int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &model{rng: rng, bug: bug, durable: seed%2 == 0, sparse: seed%3 == 0, kept: 1000, dedupe: map[string]item{}}
	if seed%5 == 0 {
		m.kept = 8
	}
	switch bug { // these show in one kind of store only
	case "epoch ends":
		m.durable = true
	case "visible too soon":
		m.durable, m.kept = true, 1000
	case "stale epoch":
		m.durable = false
	case "gap untold":
		m.kept = 4
	}
	m.rec = NewRecorderAt(func() time.Duration { return m.clock })
	p = Policy{Store: "durable", Kept: m.kept, Bounds: &Bounds{Base: 100, PerConnection: 10, Budget: 50, Rest: 2}}
	if !m.durable {
		p.Store, p.Ends = "memory", []string{"kill"}
	}
	for i := range 3 {
		m.subs = append(m.subs, m.newcomer(fmt.Sprint("s", i)))
	}
	m.sample(0)
	for range steps {
		m.clock += time.Duration(rng.IntN(20)) * time.Millisecond
		m.step()
	}
	m.rest()
	return m.rec.Events(), p, m.planted
}

func (m *model) newcomer(name string) *subscriber {
	s := &subscriber{name: name}
	m.rec.Add(Event{Kind: Grant, Client: name, Channel: modelChannel})
	m.follow(s, true)
	return s
}

// plant reports whether the bug named is to be shown now: about once in ten
// times that it could be, and at the most three times in a run.
func (m *model) plant(bug string) bool {
	if m.bug != bug || m.planted >= 3 || m.rng.IntN(10) > 0 {
		return false
	}
	m.planted++
	return true
}

func (m *model) step() {
	switch n := m.rng.IntN(100); {
	case n < 20:
		m.invoke()
	case n < 45:
		m.advance()
	case n < 48:
		m.retry()
	case n < 90:
		m.deliver(m.subs[m.rng.IntN(len(m.subs))])
	case n < 93:
		m.cutOrReturn(m.subs[m.rng.IntN(len(m.subs))])
	case n < 94:
		m.replace(m.rng.IntN(len(m.subs)))
	case n < 96:
		m.crash()
	case n < 97:
		m.sample(len(m.subs))
	}
}

func (m *model) epochName() string { return fmt.Sprint("e", m.epoch) }

func (m *model) invoke() {
	m.ids++
	p := &publication{client: fmt.Sprint("p", m.rng.IntN(3)), id: fmt.Sprint("m", m.ids)}
	if m.rng.IntN(2) == 0 {
		p.key = p.id
	}
	m.publish(p)
	m.pending = append(m.pending, p)
}

func (m *model) publish(p *publication) { m.tell(PubInvoke, p, item{}) }

func (m *model) tell(k Kind, p *publication, it item) {
	e := Event{Kind: k, Client: p.client, Channel: modelChannel, ID: p.id, Key: p.key}
	if k == PubOK {
		e.Epoch, e.Offset = m.epochName(), it.offset
	}
	m.rec.Add(e)
}

// advance takes one publication a step further: into the log, or to its answer.
func (m *model) advance() {
	if len(m.pending) == 0 {
		return
	}
	i := m.rng.IntN(len(m.pending))
	p := m.pending[i]
	if p.stored == nil {
		switch m.rng.IntN(10) {
		case 0:
			if m.plant("refused is stored") {
				m.append(p)
			}
			m.tell(PubFail, p, item{})
			m.drop(i)
			return
		case 1: // lost on its way
		default:
			if p.key == "" && m.plant("overtakes") {
				m.overtake(p, i)
				return
			}
			it := m.append(p)
			p.stored = &it
			return
		}
	}
	m.drop(i)
	if p.stored == nil || m.rng.IntN(10) == 0 {
		m.tell(PubUnknown, p, item{})
		m.unknown = append(m.unknown, p)
		return
	}
	m.tell(PubOK, p, *p.stored)
	m.acked = append(m.acked, p)
}

func (m *model) drop(i int) { m.pending = append(m.pending[:i], m.pending[i+1:]...) }

// append stores p, or finds it stored.
func (m *model) append(p *publication) item {
	was, again := m.dedupe[p.key]
	again = again && p.key != ""
	if again && !m.plant("stored twice") {
		return was
	}
	it := item{offset: m.head + 1, prev: m.head, id: p.id}
	if m.sparse {
		it.offset += uint64(m.rng.IntN(3))
	}
	m.head = it.offset
	m.log = append(m.log, it)
	if p.key != "" {
		m.dedupe[p.key] = it
	}
	for len(m.log) > m.kept {
		m.oldest = m.log[0].offset
		m.log = m.log[1:]
	}
	return it
}

// overtake is the bug that a publication that was begun after another was
// acknowledged stands before it.
func (m *model) overtake(a *publication, i int) {
	m.drop(i)
	first := item{offset: m.head + 1, prev: m.head}
	second := item{offset: m.head + 2, prev: m.head + 1, id: a.id}
	m.tell(PubOK, a, second)
	m.ids++
	b := &publication{client: "late", id: fmt.Sprint("m", m.ids)}
	first.id = b.id
	m.publish(b)
	m.tell(PubOK, b, first)
	m.log = append(m.log, first, second)
	m.head = second.offset
}

// retry sends again what has no answer, or what the client forgot that it has.
func (m *model) retry() {
	from := &m.unknown
	if m.rng.IntN(4) == 0 {
		from = &m.acked
	}
	if len(*from) == 0 {
		return
	}
	p := (*from)[m.rng.IntN(len(*from))]
	if p.key == "" {
		return
	}
	again := &publication{client: p.client, id: p.id, key: p.key}
	m.publish(again)
	m.pending = append(m.pending, again)
}

// follow begins, or begins again where the client was.
func (m *model) follow(s *subscriber, fresh bool) {
	e := Event{Kind: SubOK, Client: s.name, Channel: modelChannel, Epoch: m.epochName(), Offset: m.head, Head: m.head}
	if !fresh {
		e.Since = &Position{s.epoch, s.last}
		switch {
		case s.epoch != e.Epoch:
			e.Reason = "epoch"
			e.Recovered = m.plant("stale epoch")
		case s.last < m.oldest:
			e.Reason = "trimmed"
		default:
			e.Recovered, e.Offset = true, s.last
		}
	}
	s.on, s.epoch, s.last = true, e.Epoch, e.Offset
	m.rec.Add(e)
}

func (m *model) give(s *subscriber, it item) {
	s.last = max(s.last, it.offset)
	m.rec.Add(Event{Kind: Recv, Client: s.name, Channel: modelChannel, Epoch: s.epoch, Offset: it.offset, Prev: it.prev, ID: it.id})
}

// deliver gives s what comes next.
func (m *model) deliver(s *subscriber) {
	if !s.on || s.deaf {
		return
	}
	if s.last < m.oldest {
		if !m.plant("gap untold") {
			m.rec.Add(Event{Kind: Gap, Client: s.name, Channel: modelChannel, From: s.last + 1, To: m.oldest, Reason: "trimmed"})
		}
		s.last = m.oldest
	}
	i := 0
	for i < len(m.log) && m.log[i].offset <= s.last {
		i++
	}
	if i == len(m.log) {
		return
	}
	it := m.log[i]
	switch {
	case i > 0 && m.plant("wrong message"):
		it.id = m.log[i-1].id
	case i > 0 && m.plant("given twice"):
		m.give(s, it)
	case i+1 < len(m.log) && m.plant("out of order"):
		next := m.log[i+1]
		m.give(s, item{next.offset, s.last, next.id})
		it.prev = next.offset
	case m.plant("prev is wrong"):
		it.prev++
	case m.plant("never nudged"):
		s.deaf = true
		return
	case i+1 < len(m.log) && m.isAcked(it.id) && m.plant("skipped"):
		it = item{m.log[i+1].offset, s.last, m.log[i+1].id}
	case i > 0 && m.forgettable(i-1) && m.plant("forgotten"):
		m.give(s, it)
		m.log = append(append([]item(nil), m.log[:i-1]...), m.log[i:]...)
		return
	}
	m.give(s, it)
}

func (m *model) isAcked(id string) bool {
	for _, p := range m.acked {
		if p.id == id {
			return true
		}
	}
	return false
}

// forgettable: it was acknowledged, and everybody who follows has it.
func (m *model) forgettable(i int) bool {
	for _, s := range m.subs {
		if s.last < m.log[i].offset || s.epoch != m.epochName() {
			return false
		}
	}
	return m.isAcked(m.log[i].id)
}

func (m *model) cutOrReturn(s *subscriber) {
	switch {
	case !s.on:
		m.follow(s, false)
	case !s.deaf:
		s.on = false
		m.rec.Add(Event{Kind: Away, Client: s.name, Channel: modelChannel, Reason: "cut"})
	}
}

// replace revokes what somebody may do, who goes, and lets another in.
func (m *model) replace(i int) {
	s := m.subs[i]
	m.rec.Add(Event{Kind: Revoke, Client: s.name, Channel: modelChannel})
	if s.on && m.bug == "revoked goes on" {
		before := s.last
		m.clock += 3 * time.Second
		if m.deliver(s); s.last != before {
			m.planted++
		}
	}
	m.rec.Add(Event{Kind: SubEnd, Client: s.name, Channel: modelChannel, Offset: s.last})
	m.ids++
	m.subs[i] = m.newcomer(fmt.Sprint("n", m.ids))
}

// crash stops the server at once and starts it again.
func (m *model) crash() {
	if m.durable && len(m.pending) > 0 && m.plant("visible too soon") {
		m.showTooSoon()
	}
	m.rec.Add(Event{Kind: Fault, Client: "server", Reason: "kill"})
	for _, p := range m.pending {
		m.tell(PubUnknown, p, item{})
		m.unknown = append(m.unknown, p)
	}
	m.pending = nil
	for _, s := range m.subs {
		if s.on && !s.deaf {
			s.on = false
			m.rec.Add(Event{Kind: Away, Client: s.name, Channel: modelChannel, Reason: "cut"})
		}
	}
	if !m.durable || m.plant("epoch ends") {
		m.epoch++
		m.head, m.oldest, m.log = 0, 0, nil
		clear(m.dedupe)
	} else if len(m.log) > 1 && m.isAcked(m.log[len(m.log)-1].id) && m.plant("tail lost") {
		m.log = m.log[:len(m.log)-1]
		m.head = m.log[len(m.log)-1].offset
	}
	m.clock += 100 * time.Millisecond
	m.rec.Add(Event{Kind: Heal, Client: "server", Reason: "kill"})
}

// showTooSoon gives everybody a message that the crash undoes. Only its offset
// was written.
func (m *model) showTooSoon() {
	for _, s := range m.subs {
		if !s.on {
			m.follow(s, false)
		}
	}
	m.deliverAll()
	m.ids++
	p := &publication{client: "p0", id: fmt.Sprint("m", m.ids)}
	m.publish(p)
	it := m.append(p)
	for _, s := range m.subs {
		m.give(s, it)
	}
	m.log = m.log[:len(m.log)-1]
	m.tell(PubUnknown, p, item{})
}

func (m *model) deliverAll() {
	for _, s := range m.subs {
		for s.on && !s.deaf && s.last < m.head {
			m.deliver(s)
		}
	}
}

func (m *model) sample(connections int) {
	u := &Usage{Resident: 100 + 10*int64(connections), Connections: connections, Descriptors: 10 + connections, Goroutines: 5}
	if m.plant("leak") {
		u.Resident += 51
	}
	m.rec.Add(Event{Kind: Sample, Client: "server", Usage: u})
}

// rest ends the run: everybody comes back and gets what is left.
func (m *model) rest() {
	for len(m.pending) > 0 {
		m.advance()
	}
	for _, s := range m.subs {
		if !s.on {
			m.follow(s, false)
		}
	}
	m.deliverAll()
	m.rec.Add(Event{Kind: Quiet})
	for _, it := range m.log {
		m.rec.Add(Event{Kind: Hist, Channel: modelChannel, Epoch: m.epochName(), Offset: it.offset, ID: it.id, Prev: it.prev})
	}
	m.rec.Add(Event{Kind: HistEnd, Channel: modelChannel, Epoch: m.epochName(), Offset: m.head, From: m.oldest})
	m.sample(0)
}
