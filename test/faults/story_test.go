package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/test/history"
)

// story is one run: servers, lines to them, clients, and the record of it all.
type story struct {
	t        *testing.T
	seed     uint64
	rng      *rand.Rand
	rec      *history.Recorder
	policy   history.Policy
	servers  []*server
	lines    []*lines // one for each server
	channels []string
	subs     []follower
	pubs     []writer

	ctx    context.Context
	cancel context.CancelFunc
	reads  sync.WaitGroup // subscribers
	writes sync.WaitGroup // publishers
}

// follower is a client that follows all channels.
type follower interface {
	who() string
	// follows reports whether it follows all of them, as far as it knows.
	follows() bool
	// has reports whether it stands at p, or further, in a channel.
	has(name string, p history.Position) bool
}

// writer is a client that publishes.
type writer interface {
	finish() // publish nothing new
	acks() int64
	stuck() bool // it has as many publications without an answer as it may have
}

// cast is who takes part.
type cast struct {
	channels    int
	subscribers int // of every eight, one by Server-Sent Events and one by long-poll
	publishers  int
	every       time.Duration // between the publications of one publisher
	pad         int           // bytes that each message is made longer by
	direct      bool          // publishers do not use the lines that break
}

// transports are what subscribers come by, in turn.
var transports = []string{"ws", "ws", "sse", "ws", "ws", "poll", "ws", "ws"}

var usual = cast{channels: 3, subscribers: 24, publishers: 4, every: 10 * time.Millisecond, pad: 100}

// tell starts servers and clients, and lets some time pass in peace.
func tell(t *testing.T, p history.Policy, c cast, servers ...*server) *story {
	t.Helper()
	seed := seedOf(t)
	s := &story{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), rec: history.NewRecorder(), policy: p, servers: servers}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { s.cancel(); s.reads.Wait(); s.writes.Wait() })
	for _, srv := range servers {
		srv.start()
		s.lines = append(s.lines, newLines(t, func() string { return srv.addr }))
	}
	if t.Failed() {
		t.FailNow()
	}
	for i := range c.channels {
		s.channels = append(s.channels, fmt.Sprint("log:", i))
	}
	for i := range c.subscribers {
		sub := &subscriber{name: fmt.Sprint("s", i), by: transports[i%len(transports)], rec: s.rec, address: s.address, channels: s.channels, at: map[string]*history.Position{}, answer: map[string]bool{}}
		s.subs = append(s.subs, sub)
		s.reads.Go(func() { sub.run(s.ctx) })
	}
	address := s.address
	if c.direct {
		address = func() string { return servers[rand.IntN(len(servers))].addr }
	}
	for i := range c.publishers {
		pub := &publisher{name: fmt.Sprint("p", i), rec: s.rec, address: address, channels: s.channels, every: c.every, pad: strings.Repeat("x", c.pad)}
		s.pubs = append(s.pubs, pub)
		s.writes.Go(func() { pub.run(s.ctx) })
	}
	s.sleep(300*time.Millisecond, 500*time.Millisecond)
	return s
}

// address is where a client connects now: to any of the servers.
func (s *story) address() string { return s.lines[rand.IntN(len(s.lines))].addr() }

// sleep lets clients go on for a while.
func (s *story) sleep(least, most time.Duration) {
	time.Sleep(least + time.Duration(s.rng.Int64N(int64(most-least)+1)))
}

// returned waits until every subscriber follows all channels again.
func (s *story) returned() {
	s.t.Helper()
	for deadline := time.Now().Add(rest); ; time.Sleep(10 * time.Millisecond) {
		away := ""
		for _, sub := range s.subs {
			if !sub.follows() {
				away = sub.who()
			}
		}
		if away == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("after %v %s has not come back", rest, away)
			return
		}
	}
}

// until waits for n more publications to be acknowledged.
func (s *story) until(n int64) {
	s.t.Helper()
	acked := func() (sum int64) {
		for _, p := range s.pubs {
			sum += p.acks()
		}
		return sum
	}
	before := acked()
	for deadline := time.Now().Add(rest); acked()-before < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Errorf("after %v only %d of %d publications are acknowledged", rest, acked()-before, n)
			return
		}
	}
}

// stuck waits until a publisher has as many publications without an answer as it
// may have, which it has only where answers do not come.
func (s *story) stuck() {
	s.t.Helper()
	for deadline := time.Now().Add(rest); ; time.Sleep(time.Millisecond) {
		for _, p := range s.pubs {
			if p.stuck() {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Errorf("after %v every publisher has its answers", rest)
			return
		}
	}
}

// during records a fault of who, does it, and records that it is over.
func (s *story) during(who, kind string, do func()) {
	s.rec.Add(history.Event{Kind: history.Fault, Client: who, Reason: kind})
	do()
	s.rec.Add(history.Event{Kind: history.Heal, Client: who, Reason: kind})
}

// atLeast and atMost add to what the run has to show.
func (s *story) atLeast(name string, n int) {
	if s.policy.AtLeast == nil {
		s.policy.AtLeast = map[string]int{}
	}
	s.policy.AtLeast[name] = n
}

func (s *story) atMost(name string, n int) {
	if s.policy.AtMost == nil {
		s.policy.AtMost = map[string]int{}
	}
	s.policy.AtMost[name] = n
}

// rest is how long a run that is over may take to come to rest.
const rest = 60 * time.Second

// judge ends the run: publishers finish, subscribers catch up, the logs are
// read, and the history is held against the policy.
func (s *story) judge() {
	s.t.Helper()
	for _, p := range s.pubs {
		p.finish()
	}
	written := make(chan struct{})
	go func() { s.writes.Wait(); close(written) }()
	select {
	case <-written:
	case <-time.After(rest):
		s.t.Errorf("after %v there are still publications without an answer", rest)
	}
	deadline := time.Now().Add(rest)
	logs := s.settle(deadline)
	s.rec.Add(history.Event{Kind: history.Quiet})
	for _, l := range logs {
		for _, e := range l.events {
			s.rec.Add(e)
		}
	}
	s.cancel()
	s.reads.Wait()
	<-written

	s.atLeast(history.CountPublished, 100)
	s.atLeast(history.CountMetTraffic, 1)
	s.atLeast(history.CountQuiet, 1)
	s.atLeast(history.CountLogs, len(s.channels))
	events := s.rec.Events()
	found := history.Check(events, s.policy)
	s.t.Logf("seed %d\n%v\nviolations: %d", s.seed, history.Summarize(events, s.policy), len(found))
	if len(found) == 0 {
		return
	}
	for _, v := range found {
		s.t.Errorf("%v", v)
	}
	f, err := os.CreateTemp("", "ringdown-history-*.ndjson")
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if err := history.Write(f, events, s.policy, s.seed); err != nil {
		s.t.Fatal(err)
	}
	s.t.Errorf("judge it again with: go run ./test/history/replay %s", f.Name())
}

// final is a log as it is when nobody publishes any more.
type final struct {
	channel string
	at      history.Position
	events  []history.Event
}

// settle waits until the logs are as they were a moment ago and every
// subscriber has all of them, or until the deadline; then the checker says who
// lacks what.
func (s *story) settle(deadline time.Time) []final {
	before := map[string]history.Position{}
	for {
		logs, err := s.readLogs(false)
		quiet := err == nil && s.same(before, logs) && s.allHave(logs)
		late := time.Now().After(deadline)
		if quiet || late {
			if logs, err = s.readLogs(true); err == nil && (late || s.same(before, logs)) {
				return logs
			}
		}
		if late {
			s.t.Errorf("reading the logs: %v", err)
			return logs
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// same reports whether the logs stand where they did before, and notes where
// they stand now.
func (s *story) same(before map[string]history.Position, logs []final) bool {
	same := true
	for _, l := range logs {
		same = same && before[l.channel] == l.at
		before[l.channel] = l.at
	}
	return same
}

func (s *story) allHave(logs []final) bool {
	for _, l := range logs {
		for _, sub := range s.subs {
			if !sub.has(l.channel, l.at) {
				return false
			}
		}
	}
	return true
}

// readLogs reads where the logs stand, and if whole all that they keep.
func (s *story) readLogs(whole bool) (logs []final, err error) {
	c, err := dial(s.ctx, s.servers[0].addr, "auditor")
	if err != nil {
		return nil, err
	}
	defer c.close()
	for _, name := range s.channels {
		l, err := position(c, name)
		if err == nil && whole {
			err = l.read(c)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		logs = append(logs, l)
	}
	return logs, nil
}

// ask sends a request and returns the answer of that type.
func ask(c *socket, request any, answer string) (message, error) {
	if err := c.write(request); err != nil {
		return message{}, err
	}
	for {
		switch m, err := c.read(); {
		case err != nil:
			return m, err
		case m.Type == answer:
			return m, nil
		case m.Type == "error":
			return m, fmt.Errorf("%s", m.Data)
		}
	}
}

// position reads where a channel stands.
func position(c *socket, name string) (final, error) {
	m, err := ask(c, map[string]any{"type": "subscribe", "channel": name, "id": 1}, "subscribed")
	if err != nil {
		return final{}, err
	}
	l := final{channel: name, at: history.Position{Epoch: m.Epoch, Offset: m.Offset}}
	_, err = ask(c, map[string]any{"type": "unsubscribe", "channel": name, "id": 2}, "unsubscribed")
	return l, err
}

// read reads all that the channel keeps.
func (l *final) read(c *socket) error {
	oldest, after := l.at.Offset, uint64(0)
	for more := true; more; {
		m, err := ask(c, map[string]any{"type": "history", "channel": l.channel, "id": 3, "data": map[string]any{"after": after, "limit": 1000}}, "history")
		if err != nil {
			return err
		}
		var page struct {
			Messages []message
			More     bool
		}
		if err := json.Unmarshal(m.Data, &page); err != nil {
			return err
		}
		for i := range page.Messages {
			p := &page.Messages[i]
			if after == 0 {
				oldest = p.prev()
			}
			after = p.Offset
			var d struct{ ID string }
			_ = json.Unmarshal(p.Data, &d)
			l.events = append(l.events, history.Event{Kind: history.Hist, Channel: l.channel, Epoch: l.at.Epoch, Offset: p.Offset, Prev: p.prev(), ID: d.ID})
		}
		more = page.More && len(page.Messages) > 0
	}
	l.events = append(l.events, history.Event{Kind: history.HistEnd, Channel: l.channel, Epoch: l.at.Epoch, Offset: l.at.Offset, From: oldest})
	return nil
}
