package session

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// asked is a client that takes nothing out, by one of the ways in which commands
// come: over its own socket, or by POST for a stream.
type asked struct {
	*client
	link   *fakeLink
	post   bool
	denied int // POSTs that were answered with 429
}

// give sends one command.
func (a *asked) give(text string) {
	a.h.t.Helper()
	if !a.post {
		a.send(text)
		return
	}
	var err error
	a.do(func() { err = a.x.post(&Posted{Server: true, Message: []byte(text)}) })
	switch e := protocol.AsError(err); {
	case err == nil:
	case e.Code == protocol.CodeLimitExceeded && e.RetryAfter > 0 && e.Retryable:
		a.denied++
	default:
		if !strings.Contains(text, "no name") {
			a.h.t.Fatalf("%s: %v", text, err)
		}
		a.denied++ // told to who posts, and to nobody else
	}
}

// answers counts the answers that left, and takes them away.
func (a *asked) answers() (n, size int) {
	a.h.t.Helper()
	a.link.mu.Lock()
	size = len(a.link.stream)
	text := a.link.stream
	if a.post {
		a.link.stream = nil
	}
	a.link.mu.Unlock()
	if a.post {
		return bytes.Count(text, []byte(`"id":"q"`)), size
	}
	for _, m := range a.messages() {
		if string(m.ID) == `"q"` {
			n++
		}
	}
	return n, size
}

// read lets the peer take one message more, and returns how many answers had come
// until then.
func (a *asked) read() (n int) {
	a.do(func() {
		n, _ = a.answers()
		a.link.mu.Lock()
		a.link.block = false
		a.link.mu.Unlock()
		a.x.Drained()
	})
	return n
}

// TestAnswersWaitForThePeer holds for every command, by every way in, that a peer
// which takes nothing out is answered once and no more; what it asked for besides
// waits, or is refused where it was posted, and it has every answer once it reads.
func TestAnswersWaitForThePeer(t *testing.T) {
	const list = 60
	names := strings.Repeat(`"nowhere",`, list-1) + `"nowhere"`
	commands := []struct {
		name, text string
		answers    int
	}{
		{"ping", `{"type":"ping","id":"q"}`, 1},
		{"history", `{"type":"history","channel":"chat:1","id":"q","data":{"limit":10}}`, 1},
		{"presence get", `{"type":"presence","channel":"chat:1","id":"q","data":{"action":"get"}}`, 1},
		{"presence enter", `{"type":"presence","channel":"chat:1","id":"q","data":{"action":"enter"}}`, 1},
		{"presence leave", `{"type":"presence","channel":"chat:1","id":"q","data":{"action":"leave"}}`, 1},
		{"presence refused", `{"type":"presence","channel":"plain","id":"q","data":{"action":"get"}}`, 1},
		{"subscribe refused", `{"type":"subscribe","channel":"nowhere","id":"q"}`, 1},
		{"subscribe list", `{"type":"subscribe","channels":[` + names + `],"id":"q"}`, list},
		{"unsubscribe", `{"type":"unsubscribe","channel":"plain","id":"q"}`, 1},
		{"publish", `{"type":"e","channel":"chat:1","id":"q","data":1}`, 1},
		{"publish refused", `{"type":"e","channel":"nowhere","id":"q"}`, 1},
		{"call", `{"type":"unknown","id":"q"}`, 1},
		{"auth", `{"type":"auth","token":"nonsense","id":"q"}`, 1},
		{"a word of the server", `{"type":"welcome","id":"q"}`, 1},
		{"what cannot be read", `{"id":"q","type":"no name"}`, 1},
	}
	each(t, func(t *testing.T, o houseOptions) {
		o.policy.Anonymous = true
		o.policy.Limits = Limits{MessagesPerSecond: 1_000_000, MessagesBurst: 1_000_000, BadMessages: 1_000}
		h := presenceHouse(t, o)
		for i := range 20 {
			c := h.subscribed(fmt.Sprint("user", i), "chat:1")
			c.sendf(`{"type":"presence","channel":"chat:1","data":{"action":"enter","data":%q}}`, strings.Repeat("x", 4000))
		}
		for range 10 {
			h.publish("chat:1", "e", "", `"`+strings.Repeat("x", 9000)+`"`)
		}
		for _, way := range []string{"socket", "stream"} {
			for _, command := range commands {
				t.Run(way+"/"+command.name, func(t *testing.T) {
					var a *asked
					if way == "socket" {
						c := h.subscribed("ann", "chat:1")
						a = &asked{client: c, link: c.link}
					} else {
						c, l := h.follow("", 1<<30, "chat:1")
						c.do(func() { c.x.identity = &auth.Identity{User: "ann"} })
						a = &asked{client: c, link: &l.fakeLink, post: true}
					}
					for begun := false; !begun; {
						a.do(func() { begun = a.x.out.Find("chat:1") >= 0 && a.x.suspended == nil })
					}
					h.settle()
					a.answers()
					a.do(func() { a.link.mu.Lock(); a.link.single = true; a.link.mu.Unlock() })
					a.try(t, command.text, command.answers)
				})
			}
		}
	})
}

// try gives a command again and again, and reads the answers one by one.
func (a *asked) try(t *testing.T, text string, each int) {
	const times = 8
	deadline := time.Now().Add(10 * time.Second)
	a.give(text)
	n, size := a.answers()
	for n+a.denied == 0 {
		if time.Now().After(deadline) {
			t.Fatal("not even the first is answered")
		}
		a.h.settle()
		n, size = a.answers()
	}
	for range times - 1 {
		a.give(text)
		a.h.settle()
	}
	more, bytes := a.answers()
	if n, size = n+more, size+bytes; n > 1 || size > membersBytes+100<<10 {
		t.Errorf("%d answers of %d bytes left for a peer that takes nothing", n, size)
	}
	if a.post && a.denied < times-1 {
		t.Errorf("of %d commands for a stream that is not read, %d were refused", times, a.denied)
	}
	want := (times - a.denied) * each
	for n < want {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d answers came", n, want)
		}
		more := a.read()
		if n += more; more > 1 && !strings.Contains(text, `"e"`) {
			// Publications that were accepted before are acknowledged when they are stored.
			t.Fatalf("%d answers at once for a peer that takes one", more)
		}
	}
	n += a.read()
	a.h.settle()
	if more, _ = a.answers(); n+more != want {
		t.Errorf("%d answers came, want %d", n+more, want)
	}
}

// TestSendingOnWithoutReading: who sends on and on and reads nothing is cut off,
// whatever it sends, and costs no more than the messages that may wait.
func TestSendingOnWithoutReading(t *testing.T) {
	for name, text := range map[string]string{
		"small":  `{"type":"ping"}`,
		"lists":  `{"type":"subscribe","channels":[` + strings.Repeat(`"a",`, 999) + `"a"]}`,
		"broken": `{"type":`,
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder // written to on the loop, before the link is closed
			h := newHouse(t, houseOptions{log: &log, policy: Policy{Limits: Limits{BadMessages: 1_000_000}}})
			c := h.welcomed("ann")
			c.do(func() { c.link.mu.Lock(); c.link.block = true; c.link.mu.Unlock() })
			var bytes, most int
			for i := 0; ; i++ {
				c.link.mu.Lock()
				code := c.link.code
				c.link.mu.Unlock()
				if code != 0 {
					break
				}
				if i > 10_000 {
					t.Fatal("it may go on for ever")
				}
				c.do(func() {
					if s := c.x.suspended; s != nil {
						bytes, most = s.bytes, c.x.mostDeferred()
					}
				})
				c.send(text)
			}
			if got := c.closed(); got != protocol.CloseRateLimited {
				t.Errorf("closed with %d", got)
			}
			if bytes > most+2*c.x.MaxMessage() {
				t.Errorf("%d bytes waited, and %d may", bytes, most)
			}
			if sent := len(c.messages()); sent > 1 {
				t.Errorf("%d answers were made for nobody", sent)
			}
			if !strings.Contains(log.String(), "closed=4100") {
				t.Errorf("the log does not say that it was cut off:\n%s", log.String())
			}
		})
	}
}

// slowly is a rule that takes its time.
type slowly struct {
	asked atomic.Int64
	first func()
}

func (s *slowly) Allow(*channel.Request) (bool, error) {
	if s.asked.Add(1) == 1 {
		s.first()
	}
	time.Sleep(subscribeTurn)
	return false, nil
}

func (s *slowly) String() string { return "slowly" }

// TestLongListLetsOthersHaveATurn: a list of subscriptions, whose rules take long,
// does not keep the loop, and those that are refused count as messages.
func TestLongListLetsOthersHaveATurn(t *testing.T) {
	rule := &slowly{}
	h := newHouse(t, houseOptions{
		channels: []*channel.Declaration{{Name: "room:{room}", Allow: channel.Allow{Subscribe: rule}}},
		policy:   Policy{Limits: Limits{MessagesPerSecond: 50, MessagesBurst: 100}},
	})
	var meanwhile atomic.Int64
	rule.first = func() {
		h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { meanwhile.Store(rule.asked.Load()) }))
	}
	c := h.welcomed("ann")
	const list = 150
	var names strings.Builder
	for i := range list {
		fmt.Fprintf(&names, `"room:%d",`, i)
	}
	c.sendf(`{"type":"subscribe","id":1,"channels":[%s]}`, strings.TrimSuffix(names.String(), ","))
	for _, m := range c.await(list) {
		if code(t, m) != protocol.CodeForbidden {
			t.Fatal(show([]protocol.Message{m}))
		}
	}
	if n := meanwhile.Load(); n == 0 || n > 10 {
		t.Errorf("others had their turn after %d rules of %d", n, list)
	}
	c.send(`{"type":"ping","id":2}`)
	if m := c.one(); code(t, m) != protocol.CodeRateLimited {
		t.Errorf("after %d refusals a message is answered with %s", list, show([]protocol.Message{m}))
	}
}
