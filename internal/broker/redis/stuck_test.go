package redis

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// TestRaisedRetention: a node that follows a channel since it kept less drops
// nothing of what others keep when it catches up.
func TestRaisedRetention(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	a, b := join(t, "a", o), join(t, "b", o)
	little := &channel.Declaration{Name: "c", History: &channel.History{Messages: 2, For: time.Hour}}
	f := &follower{a, "c", make(chan outcome, 1)}
	sub := a.Open("c", little).Follow(f)
	if o := <-f.begun; o.err != nil {
		t.Fatal(o.err)
	}
	for i := range 10 {
		b.publish("c", fmt.Sprint(i))
	}
	b.Broker.publish = "ECHO" // the script fails when all is written: what is left when a PUBLISH is lost
	b.try("c", "10", "")
	b.Broker.publish = "PUBLISH"
	redistest.Await(t, 10*time.Second, "caught up", func() bool { return len(a.got("c")) == 11 })
	page, err := b.Open("c", kept).Read(t.Context(), broker.Range{})
	if err != nil || len(page.Entries) != 11 {
		t.Errorf("%d messages are kept, %v", len(page.Entries), err)
	}
	// Nor does whoever begins to follow have them go sooner.
	sub.Close()
	a.Open("c", little).Follow(f)
	if o := <-f.begun; o.err != nil {
		t.Fatal(o.err)
	}
	if left := s.Do("PTTL", b.base("c")+logKey); left != ":-1" {
		t.Errorf("the log goes in %s ms", left)
	}
}

// TestStuckChannels: channels that cannot be read keep no other from catching up,
// however many they are.
func TestStuckChannels(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	a, b := join(t, "a", o), join(t, "b", o)
	for n := range 3 * catchers {
		name := fmt.Sprint("stuck", n)
		a.follow(name)
		b.publish(name, "1")
		// Its log is of another kind, and its head is somewhere else.
		s.Do("DEL", b.base(name)+logKey)
		s.Do("SET", b.base(name)+logKey, "x")
		s.Do("HSET", b.base(name)+metaKey, "o", "5", "f", "zz")
	}
	a.follow("c")
	b.publish("c", "0")
	redistest.Await(t, 10*time.Second, "tried", func() bool { return a.Metrics().Holes.Load() > 3*catchers })
	for i := range 5 {
		b.Broker.publish = "ECHO"
		b.try("c", fmt.Sprint(1+2*i), "")
		b.Broker.publish = "PUBLISH"
		a.await("c", b.publish("c", fmt.Sprint(2+2*i)).Position)
	}
}

// TestEvicted: a Redis that threw away a part of a state is found out: who asks is
// answered, in a new epoch.
func TestEvicted(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	a := join(t, "a", o)
	board := &channel.Declaration{Name: "b", State: &channel.State{}, Buffer: channel.Buffer{Messages: 4}}
	for _, part := range []string{stateKey, orderKey} {
		name := "b" + part
		answers := make(done, 100)
		for i := range 100 {
			a.append(board, name, &broker.Publication{Message: protocol.Message{Type: "e", Key: fmt.Sprint(i), Data: []byte("1")}}, answers)
		}
		epoch := ""
		for range 100 {
			o := <-answers
			if o.err != nil {
				t.Fatal(o.err)
			}
			epoch = o.r.Position.Epoch
		}
		s.Do("DEL", a.base(name)+part)
		page, err := a.Open(name, board).State(t.Context(), broker.StateRange{})
		if err != nil || len(page.Entries) != 0 || page.Head != 100 || page.Epoch == epoch {
			t.Errorf("without %s: %d entries, head %d, epoch %s after %s, %v", part, len(page.Entries), page.Head, page.Epoch, epoch, err)
		}
		again, err := a.Open(name, board).State(t.Context(), broker.StateRange{})
		if err != nil || again.Epoch != page.Epoch {
			t.Errorf("asked again: %+v, %v", again, err)
		}
	}
}

// TestStartFails: a start that fails leaves nothing behind in Redis, and says
// which right is missing.
func TestStartFails(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for name, rights := range map[string][]string{
		"no channels":  {"resetchannels"},
		"no subscribe": {"allchannels", "-subscribe"},
		"no publish":   {"allchannels", "-publish"},
	} {
		t.Run(name, func(t *testing.T) {
			user := strings.ReplaceAll(name, " ", "-")
			s.Do(append([]string{"ACL", "SETUSER", user, "on", ">" + secret, "~*", "+@all"}, rights...)...)
			o := settings(t, s.Address)
			o.Username, o.Password, o.Logger = user, secret, slog.New(slog.NewTextHandler(io.Discard, nil))
			b := open(t, o)
			begun := time.Now()
			err := b.Start(t.Context(), "a", &node{t: t})
			if err == nil {
				t.Fatal("it started")
			}
			if text := err.Error(); !strings.Contains(text, "lacks a right") || strings.Contains(text, "nothing was done") {
				t.Errorf("the error is %q", text)
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("that took %v", took)
			}
			redistest.Await(t, 5*time.Second, "no connection is left", func() bool { return !strings.Contains(s.Do("CLIENT", "LIST"), "user="+user) })
			for _, lease := range s.List("ZRANGE", b.shared()+nodesKey, "0", "-1") {
				if strings.HasPrefix(lease, "a ") { // one without a name is that of a node that has gone
					t.Errorf("the lease %q is left", lease)
				}
			}
			if err := b.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBrokenOff: where a script was broken off when it had written, nobody is told
// that nothing was done.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	s.Do("ACL", "SETUSER", "default", "-publish")
	first := a.try("c", "1", "key")
	if first.err == nil || strings.Contains(first.err.Error(), "nothing was done") || !strings.Contains(first.err.Error(), "not known") {
		t.Errorf("%v", first.err)
	}
	s.Do("ACL", "SETUSER", "default", "+publish")
	if again := a.try("c", "1", "key"); again.err != nil || !again.r.Duplicate || again.r.Position.Offset != 1 {
		t.Errorf("%+v", again)
	}
}
