package client

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"ringdown/protocol"
)

// Member is somebody who is there.
type Member struct {
	ID   string          `json:"id"`             // tells members apart, and is good for nothing else
	User string          `json:"user,omitempty"` // "" for who is not signed in
	Data json.RawMessage `json:"data,omitempty"`
}

// Will is a publication that the server makes when a member is gone without having said so.
type Will struct {
	Type string `json:"type"`
	Key  string `json:"key,omitempty"` // on a state channel
	Data any    `json:"data,omitempty"`
}

// attendance is who is there on a channel, as far as this client enters it or watches it.
// The connection's lock guards it.
type attendance struct {
	r        *room
	isUp     bool
	entered  *presenceRequest
	holds    bool // for being entered
	table    map[string]Member
	fresh    map[string]Member // that is being read, page by page
	reading  int
	watchers []*watcher
	waiting  []func(*Error) // who entered before the channel was subscribed to
}

type presenceRequest struct {
	Action string          `json:"action"`
	Data   json.RawMessage `json:"data,omitempty"`
	Will   *Will           `json:"will,omitempty"`
	After  string          `json:"after,omitempty"`
	Limit  *int            `json:"limit,omitempty"`
}

type watcher struct {
	ready chan struct{}
	err   *Error
}

func (r *room) attendance() *attendance {
	if r.members == nil {
		r.members = &attendance{r: r, isUp: r.wire.phase == on, table: map[string]Member{}}
	}
	return r.members
}

// Enter makes this client a member of the channel until it leaves or is closed: it is
// entered again, with what it said last, whenever the line comes back. A will is what
// the server publishes when it is gone without having said so.
func (ch *Channel) Enter(ctx context.Context, data any, will ...Will) error {
	m := &protocol.Message{}
	if err := setData(m, data); err != nil {
		return err
	}
	q := &presenceRequest{Action: "enter", Data: m.Data}
	if len(will) > 0 {
		q.Will = &will[0]
	}
	done := make(chan *Error, 1)
	c := ch.c
	c.conn.mu.Lock()
	a := ch.entering()
	if q.Will == nil && a.entered != nil {
		q.Will = a.entered.Will
	}
	a.entered = q
	if a.isUp {
		a.say(q, func(_ *protocol.Message, err *Error) { done <- err })
	} else {
		a.waiting = append(a.waiting, func(err *Error) { done <- err })
	}
	if c.conn.state == Closed {
		a.failed(ErrClosed)
	}
	c.conn.mu.Unlock()
	select {
	case err := <-done:
		if err != nil {
			return err
		}
		return nil
	case <-ctx.Done():
		return gaveUp(ctx)
	}
}

// entering returns the attendance, which holds the channel. The lock is held.
func (ch *Channel) entering() *attendance {
	if r := ch.c.rooms[ch.name]; r != nil && r.members != nil && r.members.holds {
		return r.members
	}
	a := ch.c.hold(ch.name, &subscribeOptions{}).attendance()
	a.holds = true
	return a
}

// Leave ends the membership.
func (ch *Channel) Leave(ctx context.Context) error {
	c := ch.c
	c.conn.mu.Lock()
	r := c.rooms[ch.name]
	if r == nil || r.members == nil || r.members.entered == nil {
		c.conn.mu.Unlock()
		return nil
	}
	a := r.members
	a.entered = nil
	done := make(chan *Error, 1)
	if a.isUp {
		a.say(&presenceRequest{Action: "leave"}, func(_ *protocol.Message, err *Error) { done <- err })
	} else {
		done <- nil
	}
	if a.holds {
		a.holds = false
		defer func() {
			c.conn.mu.Lock()
			r.release()
			c.conn.mu.Unlock()
		}()
	}
	c.conn.mu.Unlock()
	select {
	case err := <-done:
		if err != nil {
			return err
		}
		return nil
	case <-ctx.Done():
		return gaveUp(ctx)
	}
}

// Members returns who is there now, in the order of their ids.
func (ch *Channel) Members(ctx context.Context) ([]Member, error) {
	var all []Member
	for after := ""; ; {
		data, err := json.Marshal(presenceRequest{Action: "get", After: after})
		if err != nil {
			return nil, err
		}
		m, err := ch.c.ask(ctx, &protocol.Message{Type: protocol.TypePresence, Channel: ch.name, Data: data}, ch.c.settings.requestTimeout, true)
		if err != nil {
			return nil, err
		}
		var page membersPage
		if err := json.Unmarshal(m.Data, &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Members...); !page.More || len(page.Members) == 0 {
			return all, nil
		}
		after = page.Members[len(page.Members)-1].ID
	}
}

// WatchMembers gives who is there, in the order of their ids, and again after changes, for
// as long as the loop goes on. What changes while the loop is busy is given together.
func (ch *Channel) WatchMembers(ctx context.Context) iter.Seq2[[]Member, error] {
	return func(yield func([]Member, error) bool) {
		w := &watcher{ready: make(chan struct{}, 1)}
		c := ch.c
		c.conn.mu.Lock()
		r := c.hold(ch.name, &subscribeOptions{})
		a := r.attendance()
		if a.watchers = append(a.watchers, w); len(a.watchers) == 1 && a.isUp {
			a.read("")
		}
		c.conn.mu.Unlock()
		defer func() {
			c.conn.mu.Lock()
			a.watchers = slices.DeleteFunc(a.watchers, func(other *watcher) bool { return other == w })
			r.release()
			c.conn.mu.Unlock()
		}()
		for {
			select {
			case <-w.ready:
			case <-ctx.Done():
				yield(nil, gaveUp(ctx))
				return
			}
			c.conn.mu.Lock()
			list, err := a.list(), w.err
			c.conn.mu.Unlock()
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(list, nil) {
				return
			}
		}
	}
}

type membersPage struct {
	Action  string
	Members []Member
	Member  Member
	More    bool
}

// Below, the lock is held.

func (a *attendance) list() []Member {
	list := make([]Member, 0, len(a.table))
	for _, m := range a.table {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (a *attendance) say(q *presenceRequest, then func(m *protocol.Message, err *Error)) {
	data, err := json.Marshal(q)
	if err != nil {
		then(nil, failed(protocol.CodeInvalidData, a.r.name, "what a member says of itself: %v", err))
		return
	}
	c := a.r.c
	c.request(&protocol.Message{Type: protocol.TypePresence, Channel: a.r.name, Data: data}, c.settings.requestTimeout, true, then)
}

// up is called when the channel is subscribed to.
func (a *attendance) up() {
	a.isUp = true
	waiting := a.waiting
	a.waiting = nil
	if a.entered != nil {
		a.say(a.entered, func(_ *protocol.Message, err *Error) {
			for _, settle := range waiting {
				settle(err)
			}
		})
	}
	if len(a.watchers) > 0 {
		a.read("")
	}
}

func (a *attendance) down() {
	a.isUp, a.fresh = false, nil
	a.reading++
}

// failed is called when the channel may not be followed.
func (a *attendance) failed(err *Error) {
	a.down()
	for _, settle := range a.waiting {
		settle(err)
	}
	a.waiting = nil
	for _, w := range a.watchers {
		w.err = err
	}
	a.changed()
}

// read reads the table from the page after a member on, and takes part meanwhile in what is told.
func (a *attendance) read(after string) {
	if after == "" {
		a.reading++
		a.fresh = map[string]Member{}
	}
	turn := a.reading
	a.say(&presenceRequest{Action: "get", After: after}, func(m *protocol.Message, err *Error) {
		if turn != a.reading || err != nil {
			return
		}
		var page membersPage
		if json.Unmarshal(m.Data, &page) != nil {
			return
		}
		for _, m := range page.Members {
			a.fresh[m.ID] = m
		}
		if page.More && len(page.Members) > 0 {
			a.read(page.Members[len(page.Members)-1].ID)
			return
		}
		a.table, a.fresh = a.fresh, nil
		a.changed()
	})
}

func (a *attendance) told(m *protocol.Message) {
	var news membersPage
	if json.Unmarshal(m.Data, &news) != nil {
		return
	}
	switch news.Action {
	case "members":
		a.reading++
		a.fresh, a.table = nil, map[string]Member{}
		for _, m := range news.Members {
			a.table[m.ID] = m
		}
		if news.More && len(a.watchers) > 0 {
			a.read("")
		}
	case "leave":
		delete(a.table, news.Member.ID)
		delete(a.fresh, news.Member.ID)
	default:
		a.table[news.Member.ID] = news.Member
		if a.fresh != nil {
			a.fresh[news.Member.ID] = news.Member
		}
	}
	a.changed()
}

func (a *attendance) changed() {
	for _, w := range a.watchers {
		select {
		case w.ready <- struct{}{}:
		default:
		}
	}
}
