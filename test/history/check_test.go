package history

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const modelSteps = 300

// TestCorrectSystemPasses: nothing is found where nothing is wrong.
func TestCorrectSystemPasses(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(1000) {
		events, p, _ := run(seed, modelSteps, "")
		for _, v := range Check(events, p) {
			t.Errorf("seed %d: %v", seed, v)
		}
		for name, n := range Summarize(events, p).Counts {
			counts[name] += n
		}
		if t.Failed() {
			return
		}
	}
	for _, name := range []string{CountPublished, CountReceived, CountUnknown, CountRetried, CountMetTraffic, CountAway, CountRecovered, CountUnrecovered, CountGaps, CountEpochs} {
		if counts[name] < 100 {
			t.Errorf("the model does not show what the checker is for: %s is %d in 1000 runs", name, counts[name])
		}
	}
}

// TestPlantedBugs (H06): each bug is found by the invariants that are meant for it,
// and by no other.
func TestPlantedBugs(t *testing.T) {
	for _, c := range []struct{ bug, invariants string }{
		{"wrong message", "I1"},
		{"refused is stored", "I2"},
		{"out of order", "I3"},
		{"prev is wrong", "I4"},
		{"given twice", "I5"},
		{"forgotten", "I6"},
		{"skipped", "I7"},
		{"never nudged", "I7"},
		{"overtakes", "I8"},
		{"stored twice", "I9"},
		{"stale epoch", "I10"},
		{"epoch ends", "I11"},
		{"visible too soon", "I12"},
		{"revoked goes on", "I13"},
		{"leak", "I14"},
	} {
		t.Run(c.bug, func(t *testing.T) {
			tried, caught := 0, 0
			for seed := uint64(0); tried < 50 && seed < 5000; seed++ {
				events, p, planted := run(seed, modelSteps, c.bug)
				if planted == 0 {
					continue
				}
				tried++
				switch got := found(events, p); got {
				case c.invariants:
					caught++
				case "":
				default:
					t.Errorf("seed %d: found by %q, want %q\n%v", seed, got, c.invariants, Check(events, p))
				}
			}
			// Now and then nobody is there to see it: the one who could was not given
			// that message, or the log that it was in has ended.
			if tried < 50 || caught < tried*3/4 {
				t.Errorf("the bug was planted in %d runs and found in %d", tried, caught)
			}
		})
	}
}

// TestBugsWithManyFaces: what is wrong in several ways is found in each.
func TestBugsWithManyFaces(t *testing.T) {
	for _, c := range []struct{ bug, invariant string }{{"tail lost", "I11"}, {"tail lost", "I6"}, {"tail lost", "I1"}, {"gap untold", "I4"}, {"gap untold", "I7"}} {
		n := 0
		for seed := range uint64(300) {
			events, p, planted := run(seed, modelSteps, c.bug)
			if got := found(events, p); planted > 0 && slices.Contains(strings.Fields(got), c.invariant) {
				n++
			} else if planted == 0 && got != "" {
				t.Errorf("%s, seed %d: nothing was planted and %s found it", c.bug, seed, got)
			}
		}
		if n == 0 {
			t.Errorf("%q was never found by %s", c.bug, c.invariant)
		}
	}
}

func found(events []Event, p Policy) string {
	names := map[string]bool{}
	for _, v := range Check(events, p) {
		names[v.Invariant] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}

// TestIdleRunFails: a history in which nothing happened shows nothing.
func TestIdleRunFails(t *testing.T) {
	p := Policy{AtLeast: map[string]int{CountMetTraffic: 1, CountRecovered: 1}, AtMost: map[string]int{CountUnrecovered: 0}}
	if got := Check(nil, p); len(got) != 2 || got[0].Invariant != "Run" {
		t.Errorf("an empty history: %v", got)
	}
	away := []Event{{Kind: SubOK, Client: "s", Channel: "c", Epoch: "e", Offset: 3}, {Kind: Away, Client: "s", Channel: "c"},
		{Kind: SubOK, Client: "s", Channel: "c", Epoch: "e", Offset: 5, Since: &Position{"e", 3}, Reason: "trimmed"}}
	if got := found(away, p); got != "I7 Run" {
		t.Errorf("a loss that was neither allowed nor explained: %q", got)
	}
	// A fault while nobody publishes is no test of publishing.
	idle := []Event{{Kind: Fault, Reason: "kill"}, {Kind: Heal, Reason: "kill"}}
	if got := Check(idle, Policy{AtLeast: map[string]int{CountMetTraffic: 1}}); len(got) != 1 {
		t.Errorf("a fault without traffic: %v", got)
	}
}

// TestLaggingNodes: nobody knows which of two epochs was first where nodes hear of
// them at different times, but no two sessions may go opposite ways.
func TestLaggingNodes(t *testing.T) {
	at := func(client, epoch string) Event {
		return Event{Kind: SubOK, Client: client, Channel: "c", Epoch: epoch}
	}
	same := []Event{{Kind: Fault, Client: "r", Reason: "lose"}, {Kind: Fault, Client: "r", Reason: "lose"}, at("a", "e2"), at("b", "e1"), at("b", "e2")}
	p := Policy{Lags: true, Ends: []string{"lose"}}
	if got := Check(same, p); len(got) != 0 {
		t.Errorf("b heard of the first epoch late: %v", got)
	}
	if got := found(append(same, at("a", "e1")), p); got != "I10" {
		t.Errorf("a goes back where b came from: %q", got)
	}
	if got := found(same[1:], p); got != "" {
		t.Errorf("one fault for the end of one epoch: %q", got)
	}
	if got := found(same[2:], p); got != "I11" {
		t.Errorf("no fault, and an epoch ended: %q", got)
	}
}

// TestFile: a history that was written is judged as it was before.
func TestFile(t *testing.T) {
	events, p, _ := run(4, modelSteps, "skipped")
	var b bytes.Buffer
	if err := Write(&b, events, p, 4); err != nil {
		t.Fatal(err)
	}
	again, q, seed, err := Read(bytes.NewReader(b.Bytes()))
	if err != nil || seed != 4 || !reflect.DeepEqual(again, events) {
		t.Fatalf("read %d of %d events, seed %d: %v", len(again), len(events), seed, err)
	}
	if !reflect.DeepEqual(Check(again, q), Check(events, p)) {
		t.Error("it is judged differently")
	}
	for _, bad := range []string{"", "{}", `{"ringdown_history":2}`, `{"ringdown_history":1}` + "\n{", `{"ringdown_history":1}` + "\n" + `{"kind":"nonsense"}`,
		`{"ringdown_history":1}` + "\n" + `{"kind":"quiet","at":5}` + "\n" + `{"kind":"quiet","at":4}`} {
		if _, _, _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestRecorder: events of many goroutines are in the order of their times, and
// each goroutine's in its own.
func TestRecorder(t *testing.T) {
	const goroutines, each = 16, 2000
	r := NewRecorder()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				r.Add(Event{Kind: Recv, Client: string(rune('a' + g)), Offset: uint64(i)})
			}
		})
	}
	wg.Wait()
	events, next := r.Events(), map[string]uint64{}
	if len(events) != goroutines*each || r.Len() != len(events) {
		t.Fatalf("%d events", len(events))
	}
	for i, e := range events {
		if i > 0 && e.At < events[i-1].At {
			t.Fatalf("event %d is earlier than the one before it", i)
		}
		if e.Offset != next[e.Client] {
			t.Fatalf("%s: %d, want %d", e.Client, e.Offset, next[e.Client])
		}
		next[e.Client]++
	}
}

// TestLargeHistory: the time to judge grows as the history does; in the long
// form it is one of a million events.
func TestLargeHistory(t *testing.T) {
	const sessions = 49
	messages := uint64(2_000)
	if os.Getenv("RINGDOWN_LONG") != "" {
		messages = 20_000
	}
	var now time.Duration
	r := NewRecorderAt(func() time.Duration { return now })
	names := make([]string, sessions)
	for i := range names {
		names[i] = fmt.Sprint("s", i)
		r.Add(Event{Kind: SubOK, Client: names[i], Channel: "c", Epoch: "e"})
	}
	for o := uint64(1); o <= messages; o++ {
		now += time.Millisecond
		id := fmt.Sprint("m", o)
		r.Add(Event{Kind: PubInvoke, Client: "p", Channel: "c", ID: id, Key: id})
		r.Add(Event{Kind: PubOK, Client: "p", Channel: "c", ID: id, Key: id, Epoch: "e", Offset: o})
		for i, name := range names {
			if i == 7 && o == 1_234 {
				r.Add(Event{Kind: Gap, Client: name, Channel: "c", From: o, To: o, Reason: "slow"})
				continue
			}
			r.Add(Event{Kind: Recv, Client: name, Channel: "c", Epoch: "e", Offset: o, Prev: o - 1, ID: id})
		}
	}
	r.Add(Event{Kind: Quiet})
	events := r.Events()
	began := time.Now()
	got := Check(events, Policy{Store: "any"})
	took := time.Since(began)
	if len(got) != 1 || got[0].Invariant != "I7" {
		t.Errorf("one gap that nothing explains, and found was %v", got)
	}
	t.Logf("%d events judged in %v", len(events), took)
}

func BenchmarkRecorder(b *testing.B) {
	r := NewRecorder()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Add(Event{Kind: Recv, Client: "c"})
		}
	})
}
