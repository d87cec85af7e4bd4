package brokertest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// model is what a driver should hold, in the simplest way: everything that was
// ever accepted, and rules for what is still to be seen of it.
type model struct {
	clock *Clock
	logs  []*modelLog
	rooms map[string]map[string]broker.Member
}

// modelLog is one log. Nothing is ever taken out of entries.
type modelLog struct {
	name, channel string
	d             *channel.Declaration
	epoch         string // empty: not known yet
	head          uint64
	oldest        uint64 // of a log that is limited by bytes: what it was last seen to begin after
	entries       []said
	seen          map[string]modelKey // by dedupe key
	followed      bool
	fed           []said // what the feed of this start of the driver has to have
}

// modelKey is what was accepted under a dedupe key.
type modelKey struct {
	receipt broker.Receipt
	message protocol.Message
}

// said is a message as everybody has to be given it.
type said struct {
	offset, prev       uint64
	channel, key, data string
	time               int64
	deleted, ephemeral bool
}

func newModel(c *Clock) *model {
	m := &model{clock: c}
	for _, l := range []modelLog{
		{name: "all", d: kept},
		{name: "short", d: keptShort},
		{name: "brief", d: keptBrief},
		{name: "small", d: keptSmall},
		{name: "board", d: board},
		{name: "both", d: &channel.Declaration{Name: "both", History: &channel.History{Messages: 8}, State: &channel.State{For: 2 * time.Minute}}},
		{name: "unkept", d: unkept},
		{name: "side", channel: "all", d: keptShort}, // what is told about another channel
	} {
		l.channel = cmp.Or(l.channel, l.name)
		m.logs = append(m.logs, &l)
	}
	m.forget()
	return m
}

// forget is for a driver that begins with nothing.
func (m *model) forget() {
	m.rooms = map[string]map[string]broker.Member{}
	for _, l := range m.logs {
		*l = modelLog{name: l.name, channel: l.channel, d: l.d, seen: map[string]modelKey{}}
	}
}

// accept takes a publication over into the log, and holds what its publisher was
// told against it.
func (m *model) accept(l *modelLog, p *message, r broker.Receipt, err error) error {
	now := m.clock.Now().UnixMilli()
	if was, ok := l.remembered(p.Dedupe, now); ok {
		want := was.receipt
		if want.Duplicate = true; was.message.Key != p.Message.Key || string(was.message.Data) != string(p.Message.Data) {
			if !errors.Is(err, broker.ErrReused) {
				return fmt.Errorf("something else under a key that was used: %+v, %w", r, err)
			}
			return nil
		}
		if err != nil || r != want {
			return fmt.Errorf("published again: %+v, %w, want %+v", r, err, want)
		}
		return nil
	}
	if err != nil {
		return err
	}
	keep := l.d.Kept() && !p.Ephemeral
	if r.Duplicate || r.Time != now || !keep && r.Position != (protocol.Position{}) {
		return fmt.Errorf("accepted: %+v at %d", r, now)
	}
	e := said{channel: l.channel, key: p.Message.Key, data: string(p.Message.Data), time: now, ephemeral: p.Ephemeral}
	e.deleted = e.key != "" && e.data == "null"
	if keep {
		if r.Position.Offset <= l.head || r.Position.Epoch == "" || r.Position.Epoch != cmp.Or(l.epoch, r.Position.Epoch) {
			return fmt.Errorf("accepted at %v, after %d of %q", r.Position, l.head, l.epoch)
		}
		e.offset, e.prev = r.Position.Offset, l.head
		l.epoch, l.head = r.Position.Epoch, e.offset
		l.entries = append(l.entries, e)
	}
	if p.Dedupe != "" {
		l.seen[p.Dedupe] = modelKey{r, *p.Message.Clone()}
	}
	if l.followed {
		l.fed = append(l.fed, e)
	}
	return nil
}

// remembered finds what was accepted under a key whose window is open.
func (l *modelLog) remembered(key string, now int64) (modelKey, bool) {
	was, ok := l.seen[key]
	return was, ok && key != "" && now-was.receipt.Time < broker.DedupeWindow.Milliseconds()
}

// kept is what is left of the log.
func (m *model) kept(l *modelLog) []said {
	now := m.clock.Now().UnixMilli()
	h := channel.History{}
	switch {
	case l.d.History != nil:
		h = *l.d.History
	case l.d.State != nil:
		h = channel.History{Messages: l.d.Buffer.Messages, For: l.d.State.For}
	}
	all := l.entries
	if h.Messages > 0 {
		all = all[max(0, len(all)-h.Messages):]
	}
	for len(all) > 0 && (h.For > 0 && now-all[0].time > h.For.Milliseconds() || all[0].prev < l.oldest) {
		all = all[1:]
	}
	return all
}

// state is the newest of each key, the deleted ones among them.
func (m *model) state(l *modelLog) (all []said) {
	now := m.clock.Now().UnixMilli()
	newer := map[string]bool{"": true}
	for _, e := range slices.Backward(l.entries) {
		if newer[e.key] {
			continue
		}
		newer[e.key] = true
		if l.d.State.For == 0 || now-e.time <= l.d.State.For.Milliseconds() {
			all = append(all, e)
		}
	}
	slices.Reverse(all)
	return all
}

// position checks what any answer says of the log as a whole.
func (l *modelLog) position(epoch string, head uint64) error {
	if head != l.head || l.epoch != "" && epoch != l.epoch {
		return fmt.Errorf("it stands at %d of %q, want %d of %q", head, epoch, l.head, l.epoch)
	}
	if l.d.Kept() && epoch != "" {
		l.epoch = epoch
	}
	return nil
}

// page holds an answer of Read against the log.
func (m *model) page(l *modelLog, r broker.Range, page *broker.Page) error {
	if err := l.position(page.Epoch, page.Head); err != nil {
		return err
	}
	if err := l.trimmed(page.Oldest); err != nil {
		return err
	}
	want := m.kept(l)
	oldest := l.head
	if len(want) > 0 {
		oldest = want[0].prev
	}
	if page.Oldest != oldest {
		return fmt.Errorf("it keeps what is after %d, want after %d", page.Oldest, oldest)
	}
	switch {
	case r.Last > 0:
		want = want[max(0, len(want)-r.Last):]
	default:
		want = slices.DeleteFunc(slices.Clone(want), func(e said) bool {
			return e.offset <= r.After || r.Before > 0 && e.offset >= r.Before
		})
	}
	return part(page.Entries, page.More, want, r.Limit, r.Bytes, r.Before > 0)
}

// trimmed learns where a log that is limited by bytes begins, which drivers need
// not agree about, and checks that it is about right.
func (l *modelLog) trimmed(oldest uint64) error {
	if l.d.History == nil || l.d.History.Bytes == 0 {
		return nil
	}
	is := slices.IndexFunc(l.entries, func(e said) bool { return e.prev == oldest })
	if oldest < l.oldest || is < 0 && oldest != l.head {
		return fmt.Errorf("it keeps what is after %d, before that what is after %d", oldest, l.oldest)
	}
	if is < 0 && len(l.entries) > 0 {
		return errors.New("it keeps nothing, want at least the newest")
	}
	l.oldest = oldest
	const most = 512 // bytes that a message takes besides its data
	size, newest := int64(0), len(l.entries)-1
	for i, e := range slices.Backward(l.entries) {
		size += int64(len(e.data))
		switch {
		case i >= is && i < newest && size > l.d.History.Bytes:
			return fmt.Errorf("it keeps what is after %d, which is more than %d bytes", oldest, l.d.History.Bytes)
		case i < is && size+int64(newest-i+1)*most < l.d.History.Bytes:
			return fmt.Errorf("it keeps what is after %d only; offset %d would fit", oldest, e.offset)
		}
	}
	return nil
}

// statePage holds an answer of State against the log.
func (m *model) statePage(l *modelLog, r broker.StateRange, page *broker.StatePage) error {
	if err := l.position(page.Epoch, page.Head); err != nil {
		return err
	}
	if page.Forgotten != 0 {
		return fmt.Errorf("deletions up to %d are forgotten", page.Forgotten)
	}
	want := slices.DeleteFunc(m.state(l), func(e said) bool { return e.offset <= r.After })
	return part(page.Entries, page.More, want, r.Limit, r.Bytes, false)
}

// part checks that got is as much of want as the limits allow: its beginning, or
// backwards its end.
func part(got []*channel.Entry, more bool, want []said, limit, bytes int, backwards bool) error {
	n := len(got)
	if n > len(want) || limit > 0 && n > limit || n == 0 && len(want) > 0 || bytes == 0 && n != min(cmp.Or(limit, len(want)), len(want)) {
		return fmt.Errorf("%d entries %v, want %d of %d", n, offsets(got), cmp.Or(limit, len(want)), len(want))
	}
	if more != (n < len(want)) {
		return fmt.Errorf("%d entries of %d, more: %v", n, len(want), more)
	}
	if backwards {
		return same(got, want[len(want)-n:])
	}
	return same(got, want)
}

func same(got []*channel.Entry, want []said) error {
	for i, e := range got {
		var p protocol.Message
		if err := e.Message(&p); err != nil {
			return err
		}
		is := said{e.Offset, e.Prev, strings.Clone(p.Channel), strings.Clone(e.Key), string(p.Data), e.Time, e.Deleted, e.Ephemeral}
		if is != want[i] {
			return fmt.Errorf("given %+v, want %+v", is, want[i])
		}
	}
	return nil
}

// members holds an answer of Members against the roster.
func (m *model) members(room string, r broker.MemberRange, page *broker.MemberPage) error {
	var want []broker.Member
	for id, member := range m.rooms[room] {
		if id > r.After {
			want = append(want, member)
		}
	}
	slices.SortFunc(want, func(a, b broker.Member) int { return strings.Compare(a.ID, b.ID) })
	n := min(len(want), r.Limit)
	more := r.Limit > 0 && n < len(want)
	if page.Total != len(m.rooms[room]) || page.More != more || len(page.Members) != n {
		return fmt.Errorf("%d of %d members, more: %v; want %d of %d, more: %v", len(page.Members), page.Total, page.More, n, len(m.rooms[room]), more)
	}
	for i, is := range page.Members {
		if w := want[i]; is.ID != w.ID || is.User != w.User || string(is.Data) != string(w.Data) {
			return fmt.Errorf("member %+v, want %+v", is, w)
		}
	}
	return nil
}
