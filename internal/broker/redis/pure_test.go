package redis

import (
	"errors"
	"fmt"
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

// TestTexts that are kept in Redis and are not ours.
func TestTexts(t *testing.T) {
	const message = `{"type":"e","channel":"c"}`
	for text, want := range map[string]bool{
		"1 0 j" + message: true, "0 5 j" + message: false, "x 5 j" + message: false, "1 x j" + message: false, "1 -1 j" + message: false,
		"1 5": false, "1": false, "": false, "1 5 x" + message: false, "1 5 j": false, "1 5 j{}": false, "01 5 j" + message: false,
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
	for text, want := range map[string]string{"a": "a", "%": "", "%25": "%", "%4": "!", "%zz": "!", "%2z": "!", "%z2": "!", "%41": "!", "a b": "!", "": "!", "%20%7B": " {"} {
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
	for text, want := range map[string]bool{"NOPERM user_script: x": true, "ERR user_script:1: x": true, "OOM user_script": false, "READONLY user_script": false,
		"MISCONF user_script": false, "NOREPLICAS user_script": false, "ERR x": false} {
		if halfway(text) != want {
			t.Errorf("%q was broken off: %v", text, !want)
		}
	}
}
