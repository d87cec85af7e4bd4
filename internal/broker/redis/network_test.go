package redis

import (
	"fmt"
	"os"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/protocol"
)

// span is how long a disturbance lasts: the long form is for nights.
func span(short time.Duration) time.Duration {
	if os.Getenv("RINGDOWN_LONG") != "" {
		return 30 * time.Second
	}
	return short
}

// TestNetwork (E06): whatever the network does to a node, its feed goes on
// without a hole when that is over, and publishing answers in time.
func TestNetwork(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(p *redistest.Proxy) (mend func()){
		"latency": func(p *redistest.Proxy) func() { p.Delay(200 * time.Millisecond); return func() { p.Delay(0) } },
		"narrow":  func(p *redistest.Proxy) func() { p.Limit(1000); return func() { p.Limit(0) } },
		"silence": func(p *redistest.Proxy) func() { p.Silence(true); return func() { p.Silence(false) } },
		"half open": func(p *redistest.Proxy) func() {
			// The connections that were never answer again, new ones do.
			p.Silence(true)
			return func() { p.Reset(); p.Silence(false) }
		},
		"reset":   func(p *redistest.Proxy) func() { p.Reset(); return func() {} },
		"refused": func(p *redistest.Proxy) func() { p.Refuse(true); p.Reset(); return func() { p.Refuse(false) } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			proxy := redistest.NewProxy(t, s.Address)
			o := settings(t, proxy.Address)
			o.Timeout = time.Second
			a, b := join(t, "a", o), join(t, "b", Options{Addresses: []string{s.Address}, Prefix: o.Prefix})
			a.follow("c")
			b.publish("c", "0")
			mend := disturb(proxy)
			end := time.Now().Add(span(2 * time.Second))
			slowest := time.Duration(0)
			for i := 1; time.Now().Before(end); i++ {
				b.publish("c", fmt.Sprint(i))
				begun := time.Now()
				a.try("d", "1", "")
				slowest = max(slowest, time.Since(begun))
				time.Sleep(20 * time.Millisecond)
			}
			mend()
			if slowest > 3*o.Timeout {
				t.Errorf("publishing was answered after %v", slowest)
			}
			r := b.publish("c", `"end"`)
			begun := time.Now()
			a.await("c", r.Position)
			t.Logf("whole again after %v; the slowest answer took %v", time.Since(begun).Round(time.Millisecond), slowest.Round(time.Millisecond))
			a.eventually("d", `"end"`)
			if a.Metrics().Epochs.Load() != 0 {
				t.Error("an epoch was declared, but Redis lost nothing")
			}
		})
	}
}

// settled waits until both nodes have heard of a message that is published now,
// and returns its position. An old primary that wakes does what it was sent before
// it slept. A node that does not know of the new one yet hears that, has passed it
// on, and so must declare a new epoch once it comes to the new one; then a message
// of the old epoch is never heard, and another is needed.
func settled(t *testing.T, a, b *node) protocol.Position {
	t.Helper()
	for n := 0; ; n++ {
		data := fmt.Sprintf(`"end %d"`, n)
		end := a.eventually("c", data).Position // a knows of the new primary: it has published there
		there := func(n *node) bool {
			got := n.got("c")
			last := got[len(got)-1]
			return last.epoch == end.Epoch && last.offset == end.Offset && last.data == data
		}
		for wait := time.Now().Add(5 * time.Second); time.Now().Before(wait); time.Sleep(5 * time.Millisecond) {
			if there(a) && there(b) {
				a.await("c", end)
				b.await("c", end)
				return end
			}
		}
		if n == 5 {
			t.Fatalf("%v and those before it were not heard, but %v and %v", end, a.got("c"), b.got("c"))
		}
	}
}

// TestFailover (E03, E11): a primary is killed, or sleeps while Sentinels make
// another one, in the middle of publishing. Who publishes repeats with the same
// key until it is acknowledged. All acknowledgements of a key are the same
// position, unless the epoch says that what was is gone; and the feeds have no
// hole and nothing twice.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, sleeps := range []bool{false, true} {
		t.Run(fmt.Sprintf("sleeps=%v", sleeps), func(t *testing.T) {
			w := redistest.Watch(t)
			o := settings(t, w.Addresses()...)
			o.Master, o.Timeout = "m", time.Second
			a, b := join(t, "a", o), join(t, "b", o)
			a.follow("c")
			b.follow("c")
			acked := map[string]broker.Receipt{}
			var worst time.Duration
			for i := range 200 {
				if i == 100 {
					if sleeps {
						w.Servers[0].Stop()
					} else {
						w.Servers[0].Kill()
					}
				}
				data := fmt.Sprint(i)
				begun := time.Now()
				acked[data] = a.eventually("c", data)
				worst = max(worst, time.Since(begun))
			}
			if sleeps {
				w.Servers[0].Continue()
			}
			last := acked["199"].Position
			end := settled(t, a, b)
			got := a.got("c")
			t.Logf("the longest that a publication took was %v; %d epochs", worst.Round(time.Millisecond), a.Metrics().Epochs.Load())
			if again := b.eventually("c", "199"); !again.Duplicate || again.Position != last {
				t.Errorf("the same key on the other node: %+v, want %v", again, last)
			}
			// What was acknowledged in the epoch of now is in the log, where it was said.
			at := map[uint64]string{}
			for after := uint64(0); ; {
				page, err := b.Open("c", kept).Read(t.Context(), broker.Range{After: after})
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Entries {
					var m protocol.Message
					if err := e.Message(&m); err != nil {
						t.Fatal(err)
					}
					at[e.Offset], after = string(m.Data), e.Offset
				}
				if !page.More {
					break
				}
			}
			lost := 0
			for data, r := range acked {
				switch {
				case at[r.Position.Offset] == data:
				case r.Position.Epoch == end.Epoch:
					t.Errorf("%s was acknowledged at %v, where the log has %s", data, r.Position, at[r.Position.Offset])
				default:
					lost++
				}
			}
			seen := map[string]int{}
			for _, h := range got {
				if h.data != "" {
					seen[h.epoch+h.data]++
				}
			}
			for what, n := range seen {
				if n != 1 {
					t.Errorf("%s was heard %d times", what, n)
				}
			}
			t.Logf("%d acknowledged messages are gone, which the epoch says", lost)
			// A primary that the Sentinels do not name is left, however it is.
			stray, err := a.dial(t.Context(), redistest.Start(t).Address)
			if err != nil {
				t.Fatal(err)
			}
			a.use(stray)
			redistest.Await(t, 10*time.Second, "another primary", func() bool { return a.server.current.Load() != stray })
		})
	}
}

// TestHeardOfTheOld: a node that knows the new primary does not listen to the old
// one any more, which goes on with what it was sent before it slept: to take that
// for a part of the log would cost all of its followers their epoch.
func TestHeardOfTheOld(t *testing.T) {
	t.Parallel()
	p, r := replicated(t)
	a, b := join(t, "a", settings(t, p.Address)), join(t, "b", settings(t, p.Address))
	a.follow("c")
	a.await("c", b.publish("c", "0").Position)
	redistest.Await(t, 5*time.Second, "replicated", func() bool { return r.Do("HGET", a.base("c")+metaKey, "o") == "1" })
	r.Do("REPLICAOF", "NO", "ONE")
	next, err := a.dial(t.Context(), r.Address)
	if err != nil {
		t.Fatal(err)
	}
	old := a.server.current.Swap(next) // and the listener is not told yet: it is busy
	defer old.client.Close()
	b.publish("c", `"of the old"`)
	at := join(t, "c", settings(t, r.Address)).publish("c", `"of the new"`).Position
	if got := a.await("c", at); len(got) != 2 || got[1].data != `"of the new"` || a.Metrics().Epochs.Load() != 0 {
		t.Errorf("heard %v, and %d new epochs", got, a.Metrics().Epochs.Load())
	}
}

// TestReadOnly (E07): the primary becomes a replica under a node that knows both.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	p, r := replicated(t)
	a := join(t, "a", settings(t, p.Address, r.Address))
	a.follow("c")
	epoch := a.publish("c", "0").Position.Epoch
	redistest.Await(t, 5*time.Second, "replicated", func() bool { return r.Do("HGET", a.base("c")+metaKey, "o") == "1" })
	r.Do("REPLICAOF", "NO", "ONE")
	p.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(r.Port))
	at := a.eventually("c", "1").Position
	if at.Epoch != epoch || at.Offset != 2 {
		t.Fatalf("published at %v, want offset 2 of %s: nothing was lost", at, epoch)
	}
	a.await("c", at)
}
