package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/channel"
)

// What needs no Redis.

func TestEvidence(t *testing.T) {
	e := evidence{young: map[string][]point{}, turned: time.Now()}
	at := func(offset uint64) point { return point{epoch: "e", offset: offset, print: "p", lineage: "l"} }
	want := func(what string, offsets ...uint64) {
		t.Helper()
		var got []uint64
		for _, p := range e.seen("c") {
			got = append(got, p.offset)
		}
		if !slices.Equal(got, offsets) {
			t.Errorf("%s: %v, want %v", what, got, offsets)
		}
	}
	want("nothing")
	for offset := range uint64(evidenceEach + 2) {
		e.add("c", nil, at(offset))
	}
	e.add("c", nil, at(3)) // once more
	want("the newest", 2, 4, 5, 3)
	e.add("c", []point{at(4), at(5)}, at(6))
	want("in the place of what was told", 2, 3, 6)
	turn := func(other string) {
		e.turned = e.turned.Add(-evidenceTurn - time.Second)
		e.add(other, nil, at(1))
	}
	turn("d")
	want("a generation later", 2, 3, 6)
	if names := e.names(); len(names) != 2 {
		t.Errorf("there is evidence of %v", names)
	}
	e.add("c", nil, at(7))
	if names := e.names(); len(names) != 2 {
		t.Errorf("there is evidence of %v", names)
	}
	turn("d")
	want("touched since", 2, 3, 6, 7)
	turn("d")
	want("two generations later")
	e.young = make(map[string][]point, evidenceNames)
	for n := range evidenceNames {
		e.young[fmt.Sprint(n)] = nil
	}
	e.add("c", nil, at(8))
	if len(e.young) != 1 || len(e.old) != evidenceNames {
		t.Errorf("%d and %d channels in two generations", len(e.young), len(e.old))
	}
}

func TestSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s suspects
		l := new(listener)
		// asked tells which of two catchers may ask.
		asked := func(what string, first, second bool) {
			t.Helper()
			if a, b := s.begin(l), s.begin(l); a != first || b != second {
				t.Errorf("%s: %v and %v", what, a, b)
			}
		}
		asked("no suspect", true, true)
		s.end(l, errGarbled)
		asked("an answer, if only an error", true, true)
		s.end(l, errDown)
		asked("a suspect", true, false)
		if !s.begin(new(listener)) {
			t.Error("another is no suspect")
		}
		time.Sleep(askTurn)
		asked("when a turn is over", true, false)
		s.end(l, nil)
		asked("who answered", true, true)
	})
}

// TestBatches: a lane gives out so many at a time, and no more bytes than that,
// but one at least; those that come back are first again.
func TestBatches(t *testing.T) {
	large := strings.Repeat("x", batchBytes/2+1)
	for _, c := range []struct {
		queue []string
		want  []int
	}{
		{nil, []int{0}},
		{[]string{"a", "b"}, []int{2, 0}},
		{make([]string, batchCount), []int{batchCount, 0}},
		{make([]string, batchCount+1), []int{batchCount, 1}},
		{[]string{large + large, "a"}, []int{1, 1}},
		{[]string{large, large, "a"}, []int{2, 1}},
		{[]string{large, large[:batchBytes/2-1], "a"}, []int{2, 1}},
	} {
		var l lane
		for _, m := range c.queue {
			l.queue = append(l.queue, &publication{message: m})
		}
		all := l.queue
		first := l.take()
		l.back(first)
		if !slices.Equal(l.queue, all) {
			t.Error("what came back has not its place")
		}
		for _, want := range c.want {
			if got := len(l.take()); got != want {
				t.Errorf("a batch of %d, want %d of %d", got, want, len(c.queue))
			}
		}
		if l.queue != nil {
			t.Error("an empty queue is held")
		}
	}
}

func TestControlBetweenNodes(t *testing.T) {
	long := strings.Repeat("n", maxNodeName)
	for text, want := range map[string]string{
		"R1c a\npayload": "a", "R1c aZ09_-\n": "aZ09_-", "R1c " + long + "\n": long,
		"R1c " + long + "n\n": "", "R1c \nx": "", "R1c a": "", "R1k a\nx": "", "": "", "R1c a b\nx": "", "R1c a/\nx": "", "R1c a:\nx": "",
		"R1c a@\nx": "", "R1c a[\nx": "", "R1c a`\nx": "", "R1c a{\nx": "",
	} {
		from, payload, ok := parseControl(text)
		if from != want || ok != (want != "") || ok && !strings.HasSuffix(text, "\n"+payload) {
			t.Errorf("%q is of %q: %q, %v", text, from, payload, ok)
		}
	}
	for size, want := range map[int]bool{maxControl: true, maxControl + 1: false} {
		if _, _, ok := parseControl("R1c a\n" + strings.Repeat("x", size-len("R1c a\n"))); ok != want {
			t.Errorf("%d bytes: %v", size, ok)
		}
	}
}

func TestWhatIsKept(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		d        channel.Declaration
		lifetime time.Duration
		limits   string
		stateAge string
	}{
		{channel.Declaration{}, day, "0 0 0", "0"},
		{channel.Declaration{History: &channel.History{Messages: 5, Bytes: 7}}, 0, "5 7 0", "0"},
		{channel.Declaration{History: &channel.History{For: time.Hour}}, day + time.Hour, "0 0 3600000", "0"},
		{channel.Declaration{State: &channel.State{}, Buffer: channel.Buffer{Messages: 4}}, 0, "4 0 0", "0"},
		{channel.Declaration{State: &channel.State{For: time.Hour}}, day + time.Hour, "1 0 3600000", "3600000"},
		{channel.Declaration{State: &channel.State{For: time.Hour}, History: &channel.History{For: time.Second}}, day + time.Hour, "0 0 1000", "3600000"},
		{channel.Declaration{State: &channel.State{For: time.Second}, History: &channel.History{For: time.Hour}}, day + time.Hour, "0 0 3600000", "1000"},
		{channel.Declaration{State: &channel.State{}, History: &channel.History{For: time.Hour}}, 0, "0 0 3600000", "0"},
		{channel.Declaration{State: &channel.State{For: time.Hour}, History: &channel.History{}}, 0, "0 0 0", "3600000"},
	} {
		messages, bytes, age := limits(&c.d)
		if got := messages + " " + bytes + " " + age; lifetime(&c.d) != c.lifetime.Milliseconds() || got != c.limits || stateAge(&c.d) != c.stateAge {
			t.Errorf("%+v: %d ms, %s, %s", c, lifetime(&c.d), got, stateAge(&c.d))
		}
	}
}

func TestDefaults(t *testing.T) {
	o := Options{Addresses: []string{"x:1"}}
	want := Options{Prefix: "rd:", Timeout: 3 * time.Second, Lease: 10 * time.Second, Check: time.Second, Pending: 16 << 10, PendingBytes: 64 << 20, StateKeys: 100_000}
	for range 2 { // and what is said is kept
		o = o.withDefaults()
		if o.Logger == nil {
			t.Error("there is no log")
		}
		o.Addresses, o.Logger = nil, nil
		if fmt.Sprint(o) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", o, want)
		}
		want.Lease, o.Lease = time.Minute, time.Minute
	}
}

// TestWhatScriptsAreTold of what the node has seen: what another server showed has to
// be proven.
func TestWhatScriptsAreTold(t *testing.T) {
	b := open(t, Options{Addresses: []string{"x:1"}, Now: func() time.Time { return time.UnixMilli(7) }})
	defer b.cancel()
	lineage := "this"
	p := new(primary)
	p.lineage.Store(&lineage)
	b.server.current.Store(p)
	c := b.logCall(positionScript, "c", kept, []point{{"e", 5, "p", "this"}, {"e", 6, "q", "other"}}, "own")
	if got := strings.Join(c.args[1:], " "); got != "rd:{c} PUBLISH 7 0 2 e 5 p 0 e 6 q 1 own" || len(c.args[0]) != 8 {
		t.Errorf("told %v", c.args)
	}
	state := &channel.Declaration{State: &channel.State{}}
	for _, k := range []struct {
		s    *script
		d    *channel.Declaration
		want int
	}{{publishScript, kept, 2}, {publishAll, state, 5}, {pageScript, state, 2}, {stateScript, kept, 5}} {
		if got := b.logCall(k.s, "c", k.d, nil).keys; len(got) != k.want {
			t.Errorf("the keys are %v", got)
		}
	}
}

// TestTexts that are kept in Redis and are not ours.
func TestTexts(t *testing.T) {
	const message = `{"type":"e","channel":"c"}`
	for text, want := range map[string]bool{
		"1 0 j" + message: true, "0 5 j" + message: false, "x 5 j" + message: false, "1 x j" + message: false, "1 -1 j" + message: false,
		"1 5 ": false, "1 5": false, "1": false, "": false, "1 5 x" + message: false, "1 5 j": false, "1 5 j{}": false, "01 5 j" + message: false,
	} {
		if e, err := decodeKept(text); (err == nil) != want {
			t.Errorf("%q is %v, %v", text, e, err)
		}
	}
	for text, want := range map[string]bool{`t {"id":"x"}`: true, `t {}`: false, `{"id":"x"}`: false, `t {"id":1}`: false, "": false} {
		if m, err := decodeMember(text); (err == nil) != want || (m.ID != "") != want {
			t.Errorf("%q is %v, %v", text, m, err)
		}
	}
	for text, want := range map[string]string{"a": "a", "%": "", "%25": "%", "%4": "!", "%zz": "!", "%2z": "!", "%z2": "!", "%41": "!", "a b": "!", "": "!", "%20%7B": " {", "%7F": "\x7f", "%F0": "\xf0", "azAZ09_-.:/@=,~$": "azAZ09_-.:/@=,~$"} {
		if name, ok := untag(text); ok != (want != "!") || ok && name != want {
			t.Errorf("the tag %q is of %q, %v", text, name, ok)
		}
	}
	for text, want := range map[string]uint16{"rd:{123456789}": 12739, "{123456789}x{1}": 12739, "{}": 0} {
		if got := slotOf(text); got != want {
			t.Errorf("%q has slot %d", text, got)
		}
	}
}

// TestTopicsOfOneCommand are of one slot where logs are sharded, and never more than
// may be sent at a time.
func TestTopicsOfOneCommand(t *testing.T) {
	b := open(t, Options{Addresses: []string{"127.0.0.1:1"}})
	defer b.cancel()
	var topics []string
	for n := range 3*subscribeBatch + 1 {
		topics = append(topics, b.base(fmt.Sprint(n)))
	}
	count := func(parts [][][]string) (text string) {
		var got []string
		for _, commands := range parts {
			text += fmt.Sprint(len(commands), " ")
			for _, some := range commands {
				if len(some) > subscribeBatch || b.follows.sharded && slices.ContainsFunc(some, func(topic string) bool { return slotOf(topic) != slotOf(some[0]) }) {
					t.Errorf("a command of %d topics, from %s on", len(some), some[0])
				}
				got = append(got, some...)
			}
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(topics))) {
			t.Errorf("%d of %d topics", len(got), len(topics))
		}
		return text
	}
	if got := count(b.parts(topics)); got != "1 1 1 1 " {
		t.Errorf("commands: %s", got)
	}
	b.follows.sharded = true
	parts := b.parts(topics)
	for _, commands := range parts[:len(parts)-1] {
		if len(commands) != subscribeBatch {
			t.Errorf("%d commands at a time", len(commands))
		}
	}
	count(parts)
}

// TestToldOfAnError: what the client is told, by what happened.
func TestToldOfAnError(t *testing.T) {
	b := open(t, Options{Addresses: []string{"127.0.0.1:1"}})
	defer b.cancel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{errDown, "not reachable; nothing was done"},
		{errGarbled, "cannot be read"},
		{errors.New("x"), "the connection to the message broker broke; it is not known"},
	} {
		if e := b.failure(c.err); !strings.Contains(e.Message, c.want) || !e.Retryable || e.RetryAfter != time.Second {
			t.Errorf("%v: %+v", c.err, e)
		}
	}
	secured := open(t, Options{Addresses: []string{"127.0.0.1:1"}, TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	defer secured.cancel()
	for _, c := range []struct {
		b    *Broker
		err  error
		want string
	}{
		{b, context.DeadlineExceeded, "context deadline exceeded"}, {secured, context.DeadlineExceeded, "it did not answer in TLS"},
		{b, io.EOF, "it hung up"}, {secured, io.EOF, "EOF"}, {b, errGarbled, errGarbled.Error()}, {secured, errGarbled, errGarbled.Error()},
	} {
		if got := c.b.reason(c.err); !strings.HasPrefix(got.Error(), c.want) || !errors.Is(got, c.err) {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	if err := b.reason(nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	for text, want := range map[string]bool{"NOPERM user_script: x": true, "ERR user_script:1: x": true, "OOM user_script": false, "READONLY user_script": false,
		"MISCONF user_script": false, "NOREPLICAS user_script": false, "ERR x": false} {
		if halfway(text) != want {
			t.Errorf("%q was broken off: %v", text, !want)
		}
	}
}

// still is a follow of a broker that is not started, which waits for its position.
func still(t *testing.T, name string) (*Broker, *follow, *node) {
	t.Helper()
	b := open(t, Options{Addresses: []string{"127.0.0.1:1"}, Timeout: time.Minute})
	t.Cleanup(b.cancel)
	n := &node{Broker: b, t: t, heard: map[string][]heard{}}
	f := &follow{log: b.Open(name, kept).(*log), follower: &follower{n, name, make(chan outcome, 1)}, topic: b.base(name), asked: time.Now()}
	b.follows.byTopic[f.topic] = []*follow{f}
	b.follows.joining[f] = struct{}{}
	return b, f, n
}

// TestWhatContinues: what was published is given to a follower if that continues
// where it stands, and otherwise its log is read.
func TestWhatContinues(t *testing.T) {
	at := point{epoch: "e", offset: 5, print: "p"}
	for _, c := range []struct {
		name  string
		state followState
		at    point
		news  string
		given string // epoch/offset
		after followState
		hint  uint64
	}{
		{"the next", live, at, "k e 6 1 p q", "e/6", live, 0},
		{"the one after it", live, at, "k e 7 1 p q", "", catching, 7},
		{"one that it has", live, at, "k e 5 1 p q", "", catching, 5},
		{"of another history", live, at, "k e 6 1 x q", "", catching, 6},
		{"of another epoch", live, at, "k f 6 1 p q", "", catching, 6},
		{"while it reads", catching, at, "k e 6 1 p q", "", catching, 6},
		{"before it began", joining, at, "k e 6 1 p q", "", joining, 6},
		{"after it ended", gone, at, "k e 6 1 p q", "", gone, 0},
		{"what has offsets by now", live, point{}, "k e 6 1 p q", "e/6", live, 0},
		{"a new epoch", live, at, "n f", "", catching, 0},
		{"the epoch that it has", live, at, "n e", "", live, 0},
		{"a new epoch before it began", joining, at, "n f", "", joining, 0},
		{"ephemeral", live, at, "e 1 1", "e/0", live, 0},
		{"ephemeral while it reads", catching, at, "e 1 1", "e/0", catching, 0},
		{"ephemeral before it began", joining, at, "e 1 1", "", joining, 0},
		{"ephemeral after it ended", gone, at, "e 1 1", "", gone, 0},
	} {
		b, f, n := still(t, "c")
		f.state, f.at = c.state, c.at
		text := "R1" + c.news + "\n"
		if c.news[0] != 'n' {
			text += `j{"type":"e","channel":"c","data":1}`
		}
		b.hear(f.topic, text)
		given := ""
		for _, h := range n.got("c") {
			given += fmt.Sprintf("%s/%d", h.epoch, h.offset)
		}
		if given != c.given || f.state != c.after || f.hint != c.hint || f.queued != (c.after == catching && c.state == live) {
			t.Errorf("%s: given %q, then %d with the hint %d, queued %v", c.name, given, f.state, f.hint, f.queued)
		}
		if moved := f.at != c.at; moved != (c.given == "e/6" && c.at == at) || moved && f.at != (point{epoch: "e", offset: 6, print: "q"}) {
			t.Errorf("%s: it stands at %+v", c.name, f.at)
		}
		if b.metrics.Garbled.Load() != 0 {
			t.Errorf("%s: it was not read", c.name)
		}
	}
}

// TestNobodyToCatchUp: where there is no room in the catchers' queue the next
// message tries again, and nobody is in it twice.
func TestNobodyToCatchUp(t *testing.T) {
	b, f, _ := still(t, "c")
	f.state = live
	b.lag(f)
	b.lag(f)
	if len(b.follows.catch) != 1 || f.state != catching {
		t.Fatalf("%d times in the queue", len(b.follows.catch))
	}
	for len(b.follows.catch) < cap(b.follows.catch) {
		b.follows.catch <- f
	}
	_, other, _ := still(t, "c")
	other.state = live
	b.lag(other)
	if other.state != live || other.queued {
		t.Error("who found no room waits for a catcher")
	}
}

// TestWaitedTooLong: who waits to follow for longer than the timeout is told, and
// nobody else is.
func TestWaitedTooLong(t *testing.T) {
	b, f, n := still(t, "c")
	b.expire()
	if len(b.follows.joining) != 1 {
		t.Fatal("who has just come was answered")
	}
	f.asked = time.Now().Add(-2 * time.Minute)
	b.expire()
	if o := <-f.follower.(*follower).begun; o.err == nil || len(b.follows.byTopic) != 0 || f.state != gone {
		t.Errorf("told %v; %d topics are followed", o.err, len(b.follows.byTopic))
	}
	b.begin(f, point{epoch: "e", offset: 1}, nil)
	b.fail(f, errDown)
	f.Close()
	if len(f.follower.(*follower).begun) != 0 || len(n.got("c")) != 0 {
		t.Error("it was told once more")
	}
}

// TestCatchers: of a server that did not answer one catcher asks, and the others go
// on with what is not there.
func TestCatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f, _ := still(t, "c")
		f.state = live
		go b.catchUps()
		expect := func(when string, least, most uint64) {
			t.Helper()
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			if tried := b.metrics.Holes.Load(); tried < least || tried > most || f.state != live || f.queued {
				t.Errorf("%s: tried %d times; it is %d, queued %v", when, tried, f.state, f.queued)
			}
		}
		b.lagNow(f)
		expect("at once", 1, 1)
		time.Sleep(catchAgain)
		expect("in a moment", 2, 2)
		b.suspects.begin(b.follows.first) // another asks, and waits
		time.Sleep(askTurn - time.Millisecond)
		expect("while another asks", 2, 2)
		time.Sleep(2 * catchAgain)
		expect("when the other was too slow", 3, 4)
		b.cancel()
		time.Sleep(catchAgain)
	})
}

// TestWhoHears: the first listener, or where logs are sharded that of the slot.
func TestWhoHears(t *testing.T) {
	b, f, _ := still(t, "c")
	s := &b.follows
	f.slot = slotOf(f.topic)
	if s.server(f) != s.first || s.connected() {
		t.Error("the first hears all, once it is up")
	}
	s.first.up.Store(true)
	if !s.connected() {
		t.Error("the first is up")
	}
	s.sharded = true
	if s.server(f) != nil || s.connected() {
		t.Error("the slots are nobody's yet")
	}
	s.turn(f)
	a, other := b.newListener("a:1"), b.newListener("b:1")
	s.owners = make([]*listener, slots)
	s.owners[f.slot] = a
	s.shards = map[string]*listener{"a:1": a, "b:1": other}
	a.up.Store(true)
	if s.server(f) != a || s.connected() {
		t.Error("one of two is not up")
	}
	other.up.Store(true)
	if !s.connected() || !s.heardBy(f.topic, a) || s.heardBy(f.topic, other) || s.heardBy("none", a) {
		t.Error("all are up, and one has the topic")
	}
	s.turn(f)
	other.turn(f.topic)
	a.turn("none")
	if on, off := s.takeTurned(a); !slices.Equal(on, []string{f.topic}) || !slices.Equal(off, []string{"none"}) || len(a.wake) != 1 {
		t.Errorf("subscribe %v, end %v", on, off)
	}
	if on, off := s.takeTurned(other); on != nil || !slices.Equal(off, []string{f.topic}) {
		t.Errorf("subscribe %v, end %v", on, off)
	}
	if on, off := s.takeTurned(a); on != nil || off != nil {
		t.Errorf("once more: subscribe %v, end %v", on, off)
	}
	b.stray(other, f.topic)
	if len(s.strays) != 0 || len(b.server.poke) != 0 {
		t.Error("a topic is another's stray")
	}
	b.stray(a, "none", f.topic)
	if len(s.strays) != 1 || len(b.server.poke) != 1 {
		t.Errorf("%d strays", len(s.strays))
	}
}

// TestRoutes: topics go to who is connected to the primary of their slots, and those
// that moved are ended there and begun here.
func TestRoutes(t *testing.T) {
	b, f, _ := still(t, "c")
	b.follows.sharded = true
	f.slot = slotOf(f.topic)
	s := &b.follows
	slot := int(f.slot)
	route := func(low, high string) (l, h *listener) {
		b.route([]slotRange{{0, slot - 1, low}, {slot, slots - 1, high}})
		return s.shards[low], s.shards[high]
	}
	a, c := route("a:1", "c:1")
	if s.owners[0] != a || s.owners[slot-1] != a || s.owners[slot] != c || s.owners[slots-1] != c || a == c || len(s.shards) != 2 {
		t.Fatal("the slots are not with their primaries")
	}
	if len(c.turned) != 0 {
		t.Error("who connects subscribes to all that there is anyway")
	}
	if again, _ := route("a:1", "c:1"); again != a {
		t.Error("another listener for the same")
	}
	s.strays[f.topic], s.strays["none"] = struct{}{}, struct{}{}
	route("a:1", "c:1")
	if !slices.Equal(c.turned, []string{f.topic}) || len(s.strays) != 0 {
		t.Errorf("the stray is not begun again: %v", c.turned)
	}
	c.turned = nil
	c2, a2 := route("c:1", "a:1")
	if a2 != a || c2 != c || !slices.Equal(a.turned, []string{f.topic}) || !slices.Equal(c.turned, []string{f.topic}) {
		t.Errorf("moved: %v and %v", a.turned, c.turned)
	}
	a.turned, c.turned = nil, nil
	_, d := route("c:1", "d:1")
	if a.ctx.Err() == nil || c.ctx.Err() != nil || d.ctx.Err() != nil || len(c.turned) != 0 || len(s.shards) != 2 {
		t.Error("who is primary no more is listened to still")
	}
	b.cancel()
	if err := b.work.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
