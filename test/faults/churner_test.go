package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/test/history"
)

// round is a while in which clients come to channels and leave them as fast as they
// can, and a moment in which everybody stays where they are.
type round struct {
	calm    chan struct{} // closed: settle on a channel and say so
	over    chan struct{} // closed: that was it
	settled sync.WaitGroup
}

func (r *round) calmed() bool {
	select {
	case <-r.calm:
		return true
	default:
		return false
	}
}

// tally counts what a run has done, so that it can be seen that it did.
type tally struct {
	subscribed, unsubscribed, published, polled, streamed, connected atomic.Int64
}

func (c *tally) String() string {
	return fmt.Sprintf("%d subscribed, %d unsubscribed, %d published, %d polls, %d streams, %d connections",
		c.subscribed.Load(), c.unsubscribed.Load(), c.published.Load(), c.polled.Load(), c.streamed.Load(), c.connected.Load())
}

// churner is a client that follows one channel after the other, mostly for as long
// as it takes to ask.
type churner struct {
	name     string
	by       string // ws, sse or poll
	rec      *history.Recorder
	rng      *rand.Rand
	tally    *tally
	rounds   chan *round
	address  func() string
	trouble  func(format string, args ...any)
	channels []string

	mu      sync.Mutex
	times   int // that it began anew
	follows map[string]*following
	asked   map[int]*following    // by the number of the request
	stands  map[string]*following // where it left a channel that has a history
	heard   chan struct{}         // has one when a message came
}

// following is one channel as one follower sees it.
type following struct {
	session string // in the history; one that begins anew is another
	asked   time.Duration
	at      *history.Position
	answer  bool
	number  int // of the newest message of the channel's own publisher
}

// run takes part in one round after the other.
func (c *churner) run(ctx context.Context) {
	var line *wire
	for r := range c.rounds {
		if c.by == "ws" {
			line = c.overSocket(ctx, r, line)
			continue
		}
		for ctx.Err() == nil && !r.calmed() {
			c.visit(ctx, r, false)
		}
		c.visit(ctx, r, true)
	}
	if line != nil {
		c.hangUp(line, history.SubEnd)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.channels {
		c.forget(name)
	}
}

// judged reports whether the checker can judge a channel: its messages have offsets
// and nothing is left out.
func judged(name string) bool { return strings.HasPrefix(name, "log:") }

// begin takes note that a channel is about to be followed, from where it was left if
// that is known and not to be anew.
func (c *churner) begin(name string, anew bool) *following {
	c.tally.subscribed.Add(1)
	f := c.stands[name]
	if f == nil || anew {
		c.forget(name)
		c.times++
		f = &following{session: fmt.Sprint(c.name, "/", c.times)}
	}
	delete(c.stands, name)
	f.answer, f.number, f.asked = false, 0, c.rec.Now()
	return f
}

// forget gives up to come back to where a channel was left. c.mu is held.
func (c *churner) forget(name string) {
	if f := c.stands[name]; f != nil {
		c.rec.Add(history.Event{Kind: history.SubEnd, Client: f.session, Channel: name})
		delete(c.stands, name)
	}
}

// end takes note that a channel is followed no longer.
func (c *churner) end(name string, kind history.Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.follows[name]
	if f == nil {
		return
	}
	delete(c.follows, name)
	c.tally.unsubscribed.Add(1)
	if f.answer && judged(name) {
		c.rec.Add(history.Event{Kind: kind, Client: f.session, Channel: name})
		c.stands[name] = f
	}
}

// take takes note of a message.
func (c *churner) take(m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number, err := strconv.Atoi(string(m.ID)); err == nil && m.Type == "subscribed" {
		c.follows[m.Channel] = c.asked[number]
		delete(c.asked, number)
	}
	f := c.follows[m.Channel]
	if f == nil {
		if m.Type == "m" {
			c.trouble("%s was given a message of %s, which it does not follow", c.name, m.Channel)
		}
		return
	}
	var d struct {
		ID, Reason     string
		Recovered      bool
		Head, From, To uint64
	}
	_ = json.Unmarshal(m.Data, &d)
	e := history.Event{Client: f.session, Channel: m.Channel, Epoch: m.Epoch, Offset: m.Offset, Reason: d.Reason, ID: d.ID}
	switch m.Type {
	case "subscribed":
		e.Kind, e.Asked, e.Head, e.Since, e.Recovered = history.SubOK, f.asked, max(d.Head, m.Offset), f.at, d.Recovered
		f.at, f.answer = &history.Position{Epoch: m.Epoch, Offset: m.Offset}, true
	case "gap":
		e.Kind, e.From, e.To = history.Gap, d.From, d.To
		if f.at != nil {
			e.Epoch, f.at = f.at.Epoch, &history.Position{Epoch: f.at.Epoch, Offset: max(f.at.Offset, d.To)}
		}
	case "m":
		if f.at == nil || !f.answer {
			c.trouble("%s was given a message of %s before the answer", c.name, m.Channel)
			return
		}
		e.Kind, e.Epoch, e.Prev = history.Recv, f.at.Epoch, m.prev()
		f.at = &history.Position{Epoch: f.at.Epoch, Offset: m.Offset}
		if of, number, ok := strings.Cut(d.ID, "-"); ok && strings.HasPrefix(of, "p") {
			f.number, _ = strconv.Atoi(number)
			select {
			case c.heard <- struct{}{}:
			default:
			}
		}
	default:
		return
	}
	if judged(m.Channel) {
		c.rec.Add(e)
	}
}

// behind returns the channels whose publishers have gone further than it has heard:
// it follows them, and has nothing newer than the number of made.
func (c *churner) behind(made map[string]int) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, f := range c.follows {
		if f.number <= made[name] {
			names = append(names, name)
		}
	}
	return names
}

func (c *churner) some() string { return c.channels[c.rng.IntN(len(c.channels))] }

// wire is a WebSocket of which one goroutine reads, and answers go to another.
type wire struct {
	*socket
	answers chan message
	closing atomic.Bool
	read    sync.WaitGroup
	number  int
}

func (w *wire) close() {
	w.closing.Store(true)
	w.socket.close()
	w.read.Wait()
}

// hangUp ends a connection, and with it whatever was followed on it.
func (c *churner) hangUp(w *wire, kind history.Kind) {
	w.close()
	for _, name := range c.followed() {
		c.end(name, kind)
	}
	clear(c.asked) // nobody reads now
}

func (c *churner) wire(ctx context.Context) *wire {
	conn, err := dial(ctx, c.address(), c.name)
	if err != nil {
		if ctx.Err() == nil {
			c.trouble("%s cannot connect: %v", c.name, err)
		}
		return nil
	}
	c.tally.connected.Add(1)
	w := &wire{socket: conn, answers: make(chan message, 2*burst+2)}
	w.read.Go(func() {
		defer conn.end()
		for {
			m, err := conn.read()
			if err != nil {
				if !w.closing.Load() && ctx.Err() == nil {
					c.trouble("%s lost its connection: %v", c.name, err)
				}
				return
			}
			switch {
			case m.Type != "unsubscribed":
				c.take(&m)
			case len(m.ID) == 0:
				c.trouble("%s was unsubscribed: %s", c.name, m.Data)
			default:
				c.end(m.Channel, history.SubEnd)
			}
			if len(m.ID) > 0 {
				w.answers <- m
			}
		}
	})
	return w
}

// send sends a request, of which f is what is to be followed, if anything.
func (c *churner) send(w *wire, request map[string]any, f *following) {
	w.number++
	request["id"] = w.number
	if f != nil {
		c.mu.Lock()
		c.asked[w.number] = f
		c.mu.Unlock()
	}
	_ = w.write(request) // the reader finds out
}

// answer waits for the next answer; of none the type is empty.
func (c *churner) answer(w *wire) (m message) {
	select {
	case m = <-w.answers:
		if m.Type == "error" {
			c.trouble("%s asked for something and was told %s", c.name, m.Data)
		}
	case <-w.ended.Done():
	}
	return m
}

func (c *churner) overSocket(ctx context.Context, r *round, w *wire) *wire {
	for ctx.Err() == nil && !r.calmed() {
		if w != nil && (c.rng.IntN(40) == 0 || w.ended.Err() != nil) {
			c.hangUp(w, history.Away)
			w = nil
		}
		if w == nil {
			if w = c.wire(ctx); w == nil {
				break
			}
		}
		name := c.some()
		c.storm(w, name)
		if c.rng.IntN(8) == 0 {
			c.publish(w, name)
		}
		select { // one who is deaf stays, and is found when all is calm
		case <-c.heard:
		case <-r.calm:
		case <-w.ended.Done():
		}
	}
	r.settled.Done()
	<-r.over
	return w
}

func (c *churner) followed() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.follows {
		names = append(names, name)
	}
	return names
}

// burst is how often a channel is followed and left without waiting for an answer.
const burst = 8

// storm leaves what is followed, follows a channel and leaves it again and again, and
// in the end follows it.
func (c *churner) storm(w *wire, name string) {
	sent := 0
	leave := func(name string) {
		c.send(w, map[string]any{"type": "unsubscribe", "channel": name}, nil)
		sent++
	}
	for _, old := range c.followed() {
		leave(old)
	}
	for i := range burst {
		c.mu.Lock()
		f := c.begin(name, i > 0 || !judged(name) || c.rng.IntN(2) == 0)
		c.mu.Unlock()
		request := map[string]any{"type": "subscribe", "channel": name}
		if f.at != nil {
			request["since"] = *f.at
		}
		c.send(w, request, f)
		if sent++; i < burst-1 {
			leave(name)
		}
	}
	for range sent {
		c.answer(w)
	}
	select {
	case <-c.heard:
	default:
	}
}

func (c *churner) publish(w *wire, name string) {
	id := fmt.Sprintf("%s-%d", c.name, c.tally.published.Add(1))
	request := map[string]any{"type": "m", "channel": name, "data": map[string]string{"ID": id}}
	if strings.HasPrefix(name, "board:") {
		request["key"] = c.name
	}
	e := history.Event{Kind: history.PubInvoke, Client: c.name, Channel: name, ID: id}
	if judged(name) {
		c.rec.Add(e)
	}
	c.send(w, request, nil)
	m := c.answer(w)
	e.Kind = history.PubUnknown
	if m.Type == "ack" {
		e.Kind, e.Epoch, e.Offset = history.PubOK, m.Epoch, m.Offset
	}
	if judged(name) {
		c.rec.Add(e)
	}
}

// visit follows a channel by a stream or by polls for a moment, or until the round
// is over.
func (c *churner) visit(ctx context.Context, r *round, stays bool) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	name := c.some()
	c.mu.Lock()
	c.follows[name] = c.begin(name, true)
	c.mu.Unlock()
	defer c.end(name, history.SubEnd)
	settle := sync.OnceFunc(r.settled.Done)
	if stays {
		defer settle()
		go func() {
			select {
			case <-r.over:
				leave()
			case <-ctx.Done():
			}
		}()
	} else {
		defer time.AfterFunc(time.Duration(c.rng.IntN(60))*time.Millisecond, leave).Stop()
	}
	answered := func() {
		if stays {
			settle()
		}
	}
	if c.by == "sse" {
		c.stream(ctx, name, answered)
	} else {
		c.polls(ctx, name, answered)
	}
	if stays {
		settle()
		<-r.over
	}
}

func (c *churner) get(ctx context.Context, path string, q url.Values) *http.Response {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address()+path+"?"+q.Encode(), nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token(c.name))
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err != nil {
		if ctx.Err() == nil {
			c.trouble("%s asked for %s: %v", c.name, path, err)
		}
		return nil
	}
	return resp
}

func (c *churner) stream(ctx context.Context, name string, answered func()) {
	resp := c.get(ctx, "/v1/sse", url.Values{"channel": {name}})
	if resp == nil {
		return
	}
	defer resp.Body.Close()
	c.tally.streamed.Add(1)
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if ctx.Err() == nil {
				c.trouble("%s lost its stream: %v", c.name, err)
			}
			return
		}
		data, ok := strings.CutPrefix(line, "data:")
		if !ok || strings.TrimSpace(data) == "" {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			c.trouble("%s was sent %q: %v", c.name, data, err)
			return
		}
		c.take(&m)
		if m.Type == "subscribed" {
			answered()
		}
	}
}

func (c *churner) polls(ctx context.Context, name string, answered func()) {
	cursor := ""
	for ctx.Err() == nil {
		q := url.Values{"channel": {name}, "wait": {"25"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		resp := c.get(ctx, "/v1/poll", q)
		if resp == nil {
			return
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var page struct {
			Messages []message
			Cursor   string
		}
		if err != nil || json.Unmarshal(text, &page) != nil {
			if ctx.Err() == nil {
				c.trouble("%s was sent %q: %v", c.name, text, err)
			}
			return
		}
		c.tally.polled.Add(1)
		for i := range page.Messages {
			c.take(&page.Messages[i])
		}
		cursor = page.Cursor
		answered()
	}
}
