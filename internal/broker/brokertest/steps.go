package brokertest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// tell notes what a step does.
func (k *walker) tell(format string, args ...any) {
	if k.story != nil {
		fmt.Fprintf(k.story, "%d: "+format+"\n", append([]any{k.n}, args...)...)
	}
}

func (k *walker) do(s step) error {
	l := k.m.logs[int(s[1])%len(k.m.logs)]
	var err error
	switch what := int(s[0]) * 100 / 256; {
	case what < 45:
		err = k.publish(l, s, 1)
	case what < 53:
		err = k.publish(l, s, 2+int(s[3])%6)
	case what < 61:
		err = k.follow(l)
	case what < 75:
		err = k.read(l, l.rangeOf(s))
	case what < 83:
		err = k.state(l, broker.StateRange{After: l.around(s[2]), Limit: int(s[3]) % 5, Bytes: int(s[3]) / 5 % 3 * 400})
	case what < 89:
		d := time.Duration(s[2]%50) * time.Second
		k.tell("%v pass", d)
		k.clock.Advance(d)
	case what < 91:
		err = k.restart()
	default:
		err = k.roster(s)
	}
	if err == nil {
		err = k.fed(l)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

// around is an offset of the log, or near its ends.
func (l *modelLog) around(b byte) uint64 {
	return uint64(b) * (l.head + 3) / 256
}

// rangeOf asks for some page.
func (l *modelLog) rangeOf(s step) broker.Range {
	r := broker.Range{Limit: int(s[3]) % 5, Bytes: int(s[3]) / 5 % 3 * 500}
	switch s[2] % 4 {
	case 0:
		r.Last = 1 + int(s[2])/4%10
	case 1:
		r.Before = 1 + l.around(s[2])
		r.After = l.around(s[1]) / 2
	case 2:
		r.Before = protocol.MaxOffset + 1
	case 3:
		r.After = l.around(s[2])
	}
	return r
}

// publication makes the i-th message of a step.
func (k *walker) publication(l *modelLog, s step, i int) *message {
	p := publication(l.d, l.channel, k.n)
	p.log = l.name
	p.Message.Data = fmt.Appendf(nil, `{"step":%d,"i":%d,"fill":"%s"}`, k.n, i, strings.Repeat("x", int(s[2])))
	p.Ephemeral = s[3]%16 == 1
	if key := (int(s[2]) + i) % 8; l.d.State != nil && key < 6 {
		p.Message.Key = fmt.Sprint("k", key)
		if int(s[2]/8)%4 == i%4 {
			p.Message.Data = []byte("null")
		}
	}
	return p
}

// publish publishes one message, or several at once, of which nothing but the
// answers says in which order they are accepted.
func (k *walker) publish(l *modelLog, s step, count int) error {
	type pair struct {
		p *message
		d done
		o outcome
	}
	pairs := make([]pair, count)
	for i := range pairs {
		p := k.publication(l, s, i)
		if p.Ephemeral = p.Ephemeral && count == 1; count == 1 && s[3]%4 == 0 {
			p.Dedupe = fmt.Sprint("d", s[3]/4%8)
			// Sometimes the key comes again with what it came with.
			if was, ok := l.remembered(p.Dedupe, k.m.clock.Now().UnixMilli()); ok && s[2]%4 > 0 {
				p.Message.Key, p.Message.Data = was.message.Key, was.message.Data
			}
		}
		pairs[i] = pair{p: p, d: make(done, 1)}
		k.tell("publish to %s key %q dedupe %q ephemeral %v data %.40s", l.name, p.Message.Key, p.Dedupe, p.Ephemeral, p.Message.Data)
		k.b.append(p, pairs[i].d)
	}
	for i := range pairs {
		select {
		case o := <-pairs[i].d:
			pairs[i].o = o
		case <-time.After(10 * time.Second):
			return errors.New("no Done was ever called")
		}
	}
	if l.d.Kept() {
		slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.o.receipt.Position.Offset, b.o.receipt.Position.Offset) })
	}
	for _, one := range pairs {
		if err := k.m.accept(l, one.p, one.o.receipt, one.o.err); err != nil {
			return err
		}
	}
	return nil
}

// follow begins to follow the log, or ends it.
func (k *walker) follow(l *modelLog) error {
	if l.followed {
		k.tell("unfollow %s", l.name)
		k.b.unfollow(l.name)
		l.followed = false
		return nil
	}
	k.tell("follow %s", l.name)
	p := k.b.follow(k.t, l.name, l.d)
	l.followed = true
	if !l.d.Kept() {
		return nil
	}
	return l.position(p.Epoch, p.Offset)
}

// fed checks what the feed has of a log. Nobody says when it is given it.
func (k *walker) fed(l *modelLog) error {
	got := k.b.arrived(l.name, len(l.fed))
	if len(got) != len(l.fed) {
		return fmt.Errorf("the feed was given %d entries, want %d", len(got), len(l.fed))
	}
	for i, f := range got {
		if want := l.fed[i]; want.offset > 0 && f.epoch != l.epoch {
			return fmt.Errorf("offset %d was fed in epoch %q, want %q", want.offset, f.epoch, l.epoch)
		}
		if err := same([]*channel.Entry{f.entry}, l.fed[i:]); err != nil {
			return fmt.Errorf("fed: %w", err)
		}
	}
	return nil
}

func (k *walker) read(l *modelLog, r broker.Range) error {
	if !l.d.Kept() {
		return nil
	}
	k.tell("read %s %+v", l.name, r)
	page, err := k.b.broker.Open(l.name, l.d).Read(k.t.Context(), r)
	if err != nil {
		return err
	}
	if err := k.m.page(l, r, &page); err != nil {
		return fmt.Errorf("reading %+v: %w", r, err)
	}
	return nil
}

func (k *walker) state(l *modelLog, r broker.StateRange) error {
	if l.d.State == nil {
		return nil
	}
	k.tell("state of %s %+v", l.name, r)
	page, err := k.b.broker.Open(l.name, l.d).State(k.t.Context(), r)
	if err != nil {
		return err
	}
	if err := k.m.statePage(l, r, &page); err != nil {
		return fmt.Errorf("the state of %+v: %w", r, err)
	}
	return nil
}

// restart ends the driver and starts another on the same place.
func (k *walker) restart() error {
	for room := range k.m.rooms { // what is in is its node's, and goes with it
		for id := range k.m.rooms[room] {
			if _, err := k.b.broker.Remove(k.t.Context(), room, id); err != nil {
				return err
			}
		}
	}
	k.m.rooms = map[string]map[string]broker.Member{}
	k.tell("restart")
	if err := k.b.broker.Stop(context.Background()); err != nil {
		return err
	}
	k.b = startNode(k.t, k.node(), k.clock, "node-1")
	for _, l := range k.m.logs {
		l.followed, l.fed = false, nil
	}
	if !k.Survives {
		k.m.forget()
	}
	return nil
}

func (k *walker) roster(s step) error {
	room, id := fmt.Sprint("room-", s[1]%3), fmt.Sprint("m", s[2]%12)
	in := k.m.rooms[room]
	_, was := in[id]
	switch s[3] % 4 {
	case 0, 1:
		m := broker.Member{ID: id, User: fmt.Sprint("u", s[3]%7)}
		if s[3]%8 < 4 {
			m.Data = json.RawMessage(fmt.Sprintf(`{"step":%d}`, k.n))
		}
		k.tell("put %+v into %s", m, room)
		entered, err := k.b.broker.Put(k.t.Context(), room, m)
		if err != nil || entered == was {
			return errors.Join(err, fmt.Errorf("%s entered %s: %v", id, room, entered))
		}
		if in == nil {
			in = map[string]broker.Member{}
			k.m.rooms[room] = in
		}
		in[id] = m
	case 2:
		k.tell("remove %s from %s", id, room)
		left, err := k.b.broker.Remove(k.t.Context(), room, id)
		if err != nil || left != was {
			return errors.Join(err, fmt.Errorf("%s left %s: %v", id, room, left))
		}
		delete(in, id)
	case 3:
		r := broker.MemberRange{Limit: int(s[3]) / 4 % 5}
		if s[2]%2 == 0 {
			r.After = id
		}
		k.tell("members of %s %+v", room, r)
		page, err := k.b.broker.Members(k.t.Context(), room, r)
		if err != nil {
			return err
		}
		return k.m.members(room, r, &page)
	}
	return nil
}
