package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/broker/redis/redistest"
	"ringdown/test/history"
)

// Channels of which some have a history, one is a state and some keep nothing.
var churned = []string{"log:%d.0", "log:%d.1", "log:%d.2", "log:%d.3", "live:%d.0", "live:%d.1", "live:%d.2", "board:%d.0"}

const unkept = `
  - name: live:{n}
    allow: {subscribe: signed_in, publish: signed_in}
  - name: board:{n}
    state: {}
    allow: {subscribe: signed_in, publish: signed_in}
`

// soon is how soon somebody who follows a channel must be given what is published.
const soon = 10 * time.Second

// TestChurn: many connections on several loops come to a few channels and leave them
// all the time, so that the last of one loop leaves while the first of another comes.
// Whoever was answered, and stays, is given what is published.
func TestChurn(t *testing.T) {
	for _, c := range []struct {
		store   string
		servers func(t *testing.T) []*server
		policy  history.Policy
	}{
		{"memory", func(t *testing.T) []*server { return []*server{newServer(t, "server", "")} }, memory()},
		{"embedded", func(t *testing.T) []*server { return []*server{newServer(t, "server", storeIn(t.TempDir()))} }, embedded()},
		{"Redis", func(t *testing.T) []*server { return nodes(t, redistest.Start(t), 3) }, shared()},
	} {
		t.Run(c.store, func(t *testing.T) {
			all := c.servers(t)
			for _, srv := range all {
				srv.churned()
				srv.start()
			}
			if t.Failed() {
				t.FailNow()
			}
			lasting := either(3*time.Second, time.Minute)
			if text := os.Getenv("RINGDOWN_CHURN"); text != "" {
				var err error
				if lasting, err = time.ParseDuration(text); err != nil {
					t.Fatal("RINGDOWN_CHURN:", err)
				}
			}
			began := time.Now()
			for i := 0; !t.Failed() && (i == 0 || time.Since(began) < lasting); i++ {
				churn(t, i, min(lasting, 20*time.Second), c.policy, all)
				t.Logf("%s: %d s of churn, and nobody deaf: %v", c.store, int(time.Since(began).Seconds()), !t.Failed())
			}
		})
	}
}

// churned prepares a server for channels that come and go on several loops.
func (s *server) churned() {
	text := fmt.Sprintf(configuration, kept) + unkept + s.more
	if older := os.Getenv("RINGDOWN_LIMITS"); older != "" { // how an older binary spells them
		text = strings.Replace(text, limits, older, 1)
	}
	s.configure(text)
	s.env = []string{"GOMAXPROCS=4"}
}

// churn is one run on channels of its own, at whose end its history is judged.
func churn(t *testing.T, run int, lasting time.Duration, policy history.Policy, servers []*server) {
	seed := seedOf(t) + uint64(run)
	s := &story{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), rec: history.NewRecorder(), policy: policy, servers: servers}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer s.cancel()
	address := func() string { return servers[rand.IntN(len(servers))].addr }
	var troubles atomic.Int64
	trouble := func(format string, args ...any) {
		if troubles.Add(1) <= 10 {
			t.Errorf(format, args...)
		}
	}
	var channels []string
	unjudged := history.NewRecorder()
	for i, format := range churned {
		name := fmt.Sprintf(format, run)
		channels = append(channels, name)
		pub := &publisher{name: fmt.Sprintf("p%d.%d", run, i), rec: unjudged, address: address, channels: []string{name}, every: 10 * time.Millisecond}
		if judged(name) {
			s.channels, pub.rec = append(s.channels, name), s.rec
		}
		s.pubs = append(s.pubs, pub)
		s.writes.Go(func() { pub.run(s.ctx) })
	}
	var all []*churner
	counts := &tally{}
	for i := range 20 {
		c := &churner{name: fmt.Sprintf("c%d.%d", run, i), by: transports[i%len(transports)], rec: s.rec, rng: rand.New(rand.NewPCG(seed, uint64(i+1))), tally: counts,
			rounds: make(chan *round, 1), address: address, trouble: trouble, channels: channels,
			follows: map[string]*following{}, asked: map[int]*following{}, stands: map[string]*following{}, heard: make(chan struct{}, 1)}
		all = append(all, c)
		s.reads.Go(func() { c.run(s.ctx) })
	}
	s.during("clients", "churn", func() {
		for end := time.Now().Add(lasting); time.Now().Before(end) && !t.Failed(); {
			s.round(all)
		}
	})
	for _, c := range all {
		close(c.rounds)
	}
	if t.Failed() { // clients may wait for what does not come
		s.cancel()
	}
	s.reads.Wait()
	t.Log(counts)
	if t.Failed() {
		s.writes.Wait()
		return
	}
	counts.enough(t)
	s.judge()
}

// round has everybody churn for a moment, settle, and be given something.
func (s *story) round(all []*churner) {
	r := &round{calm: make(chan struct{}), over: make(chan struct{})}
	defer close(r.over)
	r.settled.Add(len(all))
	for _, c := range all {
		c.rounds <- r
	}
	s.sleep(100*time.Millisecond, 400*time.Millisecond)
	close(r.calm)
	settled := make(chan struct{})
	go func() { r.settled.Wait(); close(settled) }()
	select {
	case <-settled:
	case <-time.After(rest):
		s.t.Errorf("after %v somebody still waits for an answer", rest)
		s.cancel()
		return
	}
	made := map[string]int{}
	for _, p := range s.pubs {
		if p, ok := p.(*publisher); ok {
			made[p.channels[0]] = int(p.made.Load())
		}
	}
	for deadline := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		var deaf []string
		for _, c := range all {
			for _, name := range c.behind(made) {
				deaf = append(deaf, fmt.Sprintf("%s on %s by %s", c.name, name, c.by))
			}
		}
		if len(deaf) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("deaf: %d of %d, who follow and are given nothing for %v: %v", len(deaf), len(all), soon, deaf)
			return
		}
	}
}

// enough fails unless clients came and went.
func (c *tally) enough(t *testing.T) {
	for name, n := range map[string]int64{"subscribed": c.subscribed.Load() / 50, "unsubscribed": c.unsubscribed.Load() / 50, "published": c.published.Load(),
		"polls": c.polled.Load(), "streams": c.streamed.Load(), "connections": c.connected.Load() / 16} {
		if n == 0 && !t.Failed() {
			t.Errorf("this run did not test what it is for: %s: %v", name, c)
		}
	}
}
