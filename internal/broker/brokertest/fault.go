package brokertest

import (
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/protocol"
)

// Fault is a way in which a driver's backend breaks.
type Fault struct {
	Name string
	// Start makes an empty backend: node makes a driver on it, hurt breaks it, and
	// mend, which hurt returns, ends that.
	Start func(t testing.TB) (node func() broker.Broker, hurt func() (mend func()))
	// Loses says that the backend loses what it has accepted, so that the epoch
	// must change. Otherwise it must not.
	Loses bool
}

// ExerciseFaults breaks backends under two nodes. While they are broken every
// publication is answered; afterwards one that is repeated with its dedupe key is
// accepted, and the feeds have no hole and nothing twice.
func ExerciseFaults(t *testing.T, faults []Fault) {
	for _, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			node, hurt := f.Start(t)
			a, b := startNode(t, node(), nil, "node-1"), startNode(t, node(), nil, "node-2")
			a.follow(t, "c", kept)
			b.follow(t, "c", kept)
			var old broker.Receipt
			for n := range 5 {
				old = a.accept(t, publication(kept, "c", n))
			}
			a.await(t, "c", 5)
			b.await(t, "c", 5)
			mend := hurt()
			for n := range 3 {
				a.publish(t, publication(kept, "other", n)) // that it is answered is what counts
			}
			mend()
			end := a.again(t)
			if changed := end.Position.Epoch != old.Position.Epoch; changed != f.Loses {
				t.Fatalf("the epoch changed: %v, from %v to %v", changed, old.Position, end.Position)
			}
			a.wantWhole(t, end.Position)
			b.wantWhole(t, end.Position)
			if r := b.again(t); !r.Duplicate || r.Position != end.Position {
				t.Errorf("the same key on the other node: %+v, the first: %+v", r, end)
			}
		})
	}
}

// again publishes with one key until it is accepted.
func (b *bench) again(t testing.TB) broker.Receipt {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		p := publication(kept, "c", 99)
		p.Dedupe = "end"
		o := b.publish(t, p)
		if o.err == nil {
			return o.receipt
		}
		if !protocol.AsError(o.err).Retryable || time.Now().After(deadline) {
			t.Fatal("Append:", o.err)
		}
	}
}

// wantWhole waits until the feed of c came to a position, and checks that it is
// an unbroken run in each epoch.
func (b *bench) wantWhole(t testing.TB, to protocol.Position) {
	t.Helper()
	for n := 1; ; n++ {
		all := b.await(t, "c", n)
		last := all[n-1]
		if n > 1 && last.epoch == all[n-2].epoch && last.entry.Prev != all[n-2].entry.Offset {
			t.Fatalf("offset %d with prev %d comes after %d", last.entry.Offset, last.entry.Prev, all[n-2].entry.Offset)
		}
		if last.epoch == to.Epoch && last.entry.Offset == to.Offset {
			if got, want := data(t, last.entry), `{"n":99}`; got != want {
				t.Fatalf("%v is %s, want %s", to, got, want)
			}
			return
		}
	}
}
