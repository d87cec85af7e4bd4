package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringdown/protocol"
)

const mostAtOnce = 100 // channels of one subscribe

// Client is one line to a server, over which everything goes. It is made with New and
// ended with Close.
type Client struct {
	settings settings
	conn     *connection
	stop     context.CancelFunc
	told     *notices

	// All below is guarded by conn.mu.
	outbox  outbox
	rooms   map[string]*room
	asking  []*wire // in the next subscribe
	batches map[int64][]*wire
	waiting map[int64]*waiting
	lastID  int64 // 0 is the connection's own
	done    bool  // Close was called
}

// waiting is a request that waits for its answer.
type waiting struct {
	message *protocol.Message
	sent    bool
	again   bool // it may be sent on another line
	timer   timer
	settle  func(m *protocol.Message, err *Error) // with the lock held, once
}

// New returns a client of the server at address: https://host, wss://host, or with the path
// below which it is served. It opens a line when Connect or anything else needs one.
func New(address string, options ...Option) (*Client, error) {
	u, err := url.Parse(strings.Replace(address, "ws", "http", 1))
	if !strings.HasPrefix(address, "ws") {
		u, err = url.Parse(address)
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("ringdown: %q is not the address of a server, such as https://host", address)
	}
	c := &Client{settings: defaults(), rooms: map[string]*room{}, batches: map[int64][]*wire{}, waiting: map[int64]*waiting{}, told: newNotices()}
	for _, o := range options {
		o(&c.settings)
	}
	if len(c.settings.transports) == 0 {
		return nil, fmt.Errorf("ringdown: no transport is left; there are websocket, sse and poll")
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	base := strings.TrimSuffix(strings.TrimSuffix(u.Scheme+"://"+u.Host+u.Path, "/"), "/v1/ws")
	c.conn = newConnection(ctx, base, &c.settings, c)
	c.outbox = outbox{c: c.conn, channels: map[string][]*publication{}, sent: map[int64]*publication{}, send: c.sendRequest}
	c.conn.work.Go(func() { c.told.run(ctx) })
	return c, nil
}

// Connect opens the line, and waits until it is live. It fails when the client is closed,
// with what it was closed for; other failures are tried again until ctx is over.
func (c *Client) Connect(ctx context.Context) error {
	for {
		c.conn.mu.Lock()
		if c.done {
			c.conn.mu.Unlock()
			return ErrClosed
		}
		c.conn.connect()
		live, changed := c.conn.live(), c.told.next()
		c.conn.mu.Unlock()
		if live {
			return nil
		}
		select {
		case s := <-changed:
			if s.State == Closed {
				if s.Err != nil {
					return s.Err
				}
				return ErrClosed
			}
		case <-ctx.Done():
			return gaveUp(ctx)
		}
	}
}

// Close ends the line and all that waits, and returns when nothing of the client runs any
// more. It must not be called by a state handler or a token function.
func (c *Client) Close() error {
	c.conn.mu.Lock()
	c.done = true
	c.conn.close(byClose, nil)
	for _, r := range c.rooms {
		r.end(ErrClosed)
	}
	c.conn.mu.Unlock()
	c.stop()
	c.conn.work.Wait()
	return nil
}

// State returns where the connection is.
func (c *Client) State() State {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.conn.state
}

// User returns who the server says this is; "" if nobody is signed in, or it did not say so yet.
func (c *Client) User() string {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.conn.welcome.User
}

// Wake says that the network or the machine is back: what waits is tried at once, and a
// line that seems to live is probed.
func (c *Client) Wake() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.conn.wake()
}

// Channel returns the channel of that name. It costs nothing until it is used.
func (c *Client) Channel(name string) *Channel { return &Channel{c, name} }

// Call asks the application behind the server, and decodes its answer into result if that
// is not nil. It is sent once: if the line is lost then, the error is ErrUnknown. Without a
// deadline in ctx it has 10 seconds.
func (c *Client) Call(ctx context.Context, event string, data, result any) error {
	m := &protocol.Message{Type: event}
	if err := setData(m, data); err != nil {
		return err
	}
	answer, err := c.ask(ctx, m, c.settings.callTimeout, false)
	if err != nil {
		return err
	}
	if result == nil || answer.Data == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, result)
}

// ask makes a request and waits for the answer.
func (c *Client) ask(ctx context.Context, m *protocol.Message, limit time.Duration, again bool) (*protocol.Message, error) {
	if _, ok := ctx.Deadline(); ok {
		limit = 0
	}
	type answer struct {
		m   *protocol.Message
		err *Error
	}
	done := make(chan answer, 1)
	c.conn.mu.Lock()
	w := c.request(m, limit, again, func(m *protocol.Message, err *Error) { done <- answer{m, err} })
	c.conn.mu.Unlock()
	select {
	case a := <-done:
		if a.err != nil {
			return nil, a.err
		}
		return a.m, nil
	case <-ctx.Done():
	}
	c.conn.mu.Lock()
	sent := w.sent
	w.settle(nil, ErrUnknown)
	c.conn.mu.Unlock()
	if a := <-done; a.err != ErrUnknown {
		if a.err != nil {
			return nil, a.err
		}
		return a.m, nil
	}
	if sent && !again {
		return nil, ErrUnknown
	}
	return nil, gaveUp(ctx)
}

// Below, the lock is held.

// request makes a request; settle is called once with its answer. A limit of 0 is none.
func (c *Client) request(m *protocol.Message, limit time.Duration, again bool, settle func(m *protocol.Message, err *Error)) *waiting {
	c.lastID++
	id := c.lastID
	w := &waiting{message: m, again: again, timer: timer{c: c.conn}}
	over := false
	w.settle = func(m *protocol.Message, err *Error) {
		if over {
			return
		}
		over = true
		w.timer.stop()
		delete(c.waiting, id)
		settle(m, err)
	}
	c.need()
	if c.conn.state == Closed {
		w.settle(nil, ErrClosed)
		return w
	}
	c.waiting[id] = w
	if limit > 0 {
		w.timer.start(limit, func() {
			e := failed(protocol.CodeTimeout, m.Channel, "no answer came in time")
			e.Retryable = again || !w.sent
			w.settle(nil, e)
		})
	}
	if c.conn.live() {
		c.put(w, id)
	}
	return w
}

func (c *Client) put(w *waiting, id int64) {
	w.sent = true
	m := *w.message
	m.ID = idText(id)
	c.conn.send(&m)
}

// need opens a line if none was asked for yet.
func (c *Client) need() {
	if c.conn.state == Idle {
		c.conn.connect()
	}
}

func (c *Client) sendRequest(m *protocol.Message) int64 {
	c.lastID++
	copied := *m
	copied.ID = idText(c.lastID)
	c.conn.send(&copied)
	return c.lastID
}

// subscribeSoon subscribes with the others of this moment.
func (c *Client) subscribeSoon(w *wire) {
	if !c.conn.live() || w.phase != off || slices.Contains(c.asking, w) {
		return
	}
	if c.asking = append(c.asking, w); len(c.asking) == 1 {
		// Whoever subscribes to several at once holds the lock, or comes just behind.
		c.conn.work.Go(func() {
			c.conn.mu.Lock()
			defer c.conn.mu.Unlock()
			c.subscribe()
		})
	}
}

func (c *Client) subscribe() {
	list := c.asking
	c.asking = nil
	if !c.conn.live() {
		return
	}
	room := c.conn.welcome.MaxMessage - 100
	var items []protocol.Subscription
	var of []*wire
	size := 0
	send := func() {
		if len(of) > 0 {
			c.batches[c.sendRequest(&protocol.Message{Type: protocol.TypeSubscribe, Channels: items})] = of
			items, of, size = nil, nil, 0
		}
	}
	for _, w := range list {
		if w.phase != off || c.followed(w.name) != w {
			continue
		}
		item := w.item()
		n := len(w.name) + len(item.Data) + 120 // with names of fields, epoch and offset
		if len(of) == mostAtOnce || size+n > room {
			send()
		}
		w.phase = asked
		items, of, size = append(items, item), append(of, w), size+n
	}
	send()
}

func (c *Client) followed(name string) *wire {
	if r := c.rooms[name]; r != nil {
		return r.wire
	}
	return nil
}

func (c *Client) hand(w *wire, m *protocol.Message) {
	switch w.receive(m) {
	case subscribeIt:
		c.resubscribe(w)
	case itFailed:
		c.retryLater(w)
	}
}

// retryLater tries those that failed together again, together, as far as that may help.
func (c *Client) retryLater(list ...*wire) {
	for _, w := range list {
		if w.phase != hasEnded || !w.err.Retryable {
			continue
		}
		d := max(w.err.RetryAfter, c.conn.delay(w.failures-1))
		c.rooms[w.name].retry.start(d, func() {
			for _, w := range list {
				c.tryAgain(w)
			}
		})
	}
}

func (c *Client) resubscribe(w *wire) {
	c.conn.send(&protocol.Message{Type: protocol.TypeUnsubscribe, Channel: w.name})
	w.phase = off
	c.subscribeSoon(w)
}

// tryAgain subscribes to what was refused.
func (c *Client) tryAgain(w *wire) {
	if w.phase == hasEnded && c.followed(w.name) == w {
		w.phase = off
		c.subscribeSoon(w)
	}
}

// items implements owner.
func (c *Client) items() (list []protocol.Subscription) {
	for _, name := range sortedKeys(c.rooms) {
		if w := c.rooms[name].wire; w != nil && w.phase != hasEnded {
			list = append(list, w.item())
		}
	}
	return list
}

// up implements owner.
func (c *Client) up(begun []protocol.Subscription) {
	there := map[string]bool{}
	for _, i := range begun {
		there[i.Channel] = true
		if c.followed(i.Channel) == nil {
			c.conn.send(&protocol.Message{Type: protocol.TypeUnsubscribe, Channel: i.Channel})
		}
	}
	for _, name := range c.order() {
		w := c.rooms[name].wire
		switch {
		case w == nil:
		case there[name]:
			w.phase = asked
		default:
			if c.settings.token != nil { // the token is a new one
				c.tryAgain(w)
			}
			if w.phase == off && !slices.Contains(c.asking, w) {
				c.asking = append(c.asking, w)
			}
		}
	}
	c.subscribe() // before what is published
	for _, id := range sortedKeys(c.waiting) {
		if w := c.waiting[id]; !w.sent {
			c.put(w, id)
		}
	}
	c.outbox.start()
}

// order is the names of rooms, in the order in which they were first followed.
func (c *Client) order() []string {
	names := sortedKeys(c.rooms)
	slices.SortStableFunc(names, func(a, b string) int { return c.rooms[a].since - c.rooms[b].since })
	return names
}

// down implements owner.
func (c *Client) down() {
	for _, r := range c.rooms {
		r.lost()
	}
	clear(c.batches)
	c.asking = nil
	c.outbox.stop()
	for _, id := range sortedKeys(c.waiting) {
		if w := c.waiting[id]; w.sent {
			if w.sent = false; !w.again {
				w.settle(nil, ErrUnknown)
			}
		}
	}
}

// renewed implements owner.
func (c *Client) renewed() {
	for _, r := range c.rooms {
		if r.wire != nil {
			c.tryAgain(r.wire)
		}
	}
}

// changed implements owner.
func (c *Client) changed(s StateChange) {
	if s.State == Closed {
		why := ErrClosed
		if s.Err != nil {
			why = s.Err
		}
		for _, w := range c.waiting {
			if w.sent && !w.again {
				w.settle(nil, ErrUnknown)
			} else {
				w.settle(nil, why)
			}
		}
		c.outbox.clear(why)
	}
	c.settings.log.Debug("the connection changed", "state", s.State, "reason", s.Reason, "transport", s.Transport, "retry_in", s.RetryIn, "error", s.Err)
	c.told.put(s, c.settings.onState)
}

// received implements owner.
func (c *Client) received(m *protocol.Message) {
	var err *Error
	if m.Type == protocol.TypeError {
		if err, _ = readError(m.Data, m.Channel); err == nil {
			err = failed(protocol.CodeInternal, m.Channel, "an error without a code")
		}
	}
	if id, bad := strconv.ParseInt(string(m.ID), 10, 64); bad == nil && m.ID != nil {
		if w := c.waiting[id]; w != nil {
			if err != nil {
				m = nil
			}
			w.settle(m, err)
			return
		}
		if c.outbox.answer(id, m, err) {
			return
		}
		list := c.batches[id]
		delete(c.batches, id)
		if m.Channel == "" {
			for _, w := range list {
				w.receive(m)
			}
			c.retryLater(list...)
			return
		}
		i := slices.IndexFunc(list, func(w *wire) bool { return w.name == m.Channel })
		if i < 0 {
			return // it is the answer to something of an earlier time
		}
		of := list[i]
		if list = slices.Delete(list, i, i+1); len(list) > 0 {
			c.batches[id] = list
		}
		if c.followed(m.Channel) != of {
			return
		}
	}
	if w := c.followed(m.Channel); w != nil {
		c.hand(w, m)
	} else if err != nil {
		c.settings.log.Warn("an error that nobody waited for", "error", err)
	}
}

func sortedKeys[K int64 | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// notices hands changes of state to whoever waits for one, and to the handler, in order
// and without the lock.
type notices struct {
	mu      sync.Mutex
	list    []func()
	ready   chan struct{}
	waiting []chan StateChange
}

func newNotices() *notices { return &notices{ready: make(chan struct{}, 1)} }

func (n *notices) put(s StateChange, handler func(StateChange)) {
	n.mu.Lock()
	for _, w := range n.waiting {
		w <- s
	}
	n.waiting = nil
	if handler != nil {
		n.list = append(n.list, func() { handler(s) })
	}
	n.mu.Unlock()
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// next returns where the next change is told.
func (n *notices) next() <-chan StateChange {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := make(chan StateChange, 1)
	n.waiting = append(n.waiting, w)
	return w
}

// run calls the handler until ctx is over, and then for what there is left.
func (n *notices) run(ctx context.Context) {
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-n.ready:
		}
		n.mu.Lock()
		list := n.list
		n.list = nil
		n.mu.Unlock()
		for _, tell := range list {
			tell()
		}
	}
}
