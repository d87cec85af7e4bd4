package brokertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"ringdown/internal/broker"
)

// Walk says how drivers are walked through random steps.
type Walk struct {
	// Shared makes a place to keep logs, empty at first, and returns what makes a
	// driver on it. One driver at a time is there: a restart is a second one.
	Shared Shared
	// Survives says that the place outlives its driver: a restart finds everything
	// as it was, epochs too. Otherwise all logs begin anew.
	Survives bool
	// Seeds is how many walks of Steps steps each there are. RINGDOWN_LONG makes
	// them twenty times as many.
	Seeds, Steps int
}

// step is one thing that is done to a driver, told by four bytes: what, to which
// log, and how.
type step [4]byte

// ExerciseModel (H05) does random things to a driver and holds every answer, and what
// the feed is given, against a simple model of it. A walk that goes wrong is
// tried again with less and less of its steps, and what is left is printed.
func ExerciseModel(t *testing.T, w Walk) {
	if os.Getenv("RINGDOWN_LONG") != "" {
		w.Seeds *= 20
	}
	for seed := range w.Seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w.check(t, w.steps(seed))
		})
	}
}

// steps are those of a seed.
func (w *Walk) steps(seed int) []step {
	rng := rand.New(rand.NewPCG(uint64(seed), 5))
	steps := make([]step, w.Steps)
	for i := range steps {
		for j := range steps[i] {
			steps[i][j] = byte(rng.Uint32())
		}
	}
	return steps
}

// Try does the steps of one seed and returns what went wrong first, for who
// wants to know that something is found.
func (w *Walk) Try(t testing.TB, seed int) error { return w.walk(t, w.steps(seed), nil) }

// FuzzModel is ExerciseModel with steps that the fuzzer makes.
func FuzzModel(f *testing.F, w Walk) {
	f.Add([]byte("\x00\x00\x00\x00\x80\x00\x00\x00"))
	rng := rand.New(rand.NewPCG(1, 6))
	for n := range 4 {
		p := make([]byte, 40<<n)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var steps []step
		for ; len(p) >= 4 && len(steps) < 200; p = p[4:] {
			steps = append(steps, step(p))
		}
		w.check(t, steps)
	})
}

func (w *Walk) check(t *testing.T, steps []step) {
	err := w.walk(t, steps, nil)
	if err == nil {
		return
	}
	tries := 0
	fails := func(fewer []step) (failed bool) {
		tries++
		t.Run(fmt.Sprint("shrunk-", tries), func(t *testing.T) { failed = w.walk(t, fewer, nil) != nil })
		return failed
	}
	for part := len(steps) / 2; part > 0 && tries < 300; part /= 2 {
		for at := 0; at+part <= len(steps) && tries < 300; {
			if fewer := slices.Delete(slices.Clone(steps), at, at+part); fails(fewer) {
				steps = fewer
			} else {
				at += part
			}
		}
	}
	var story strings.Builder
	t.Run("shrunk", func(t *testing.T) {
		if again := w.walk(t, steps, &story); again != nil {
			err = again
		}
	})
	t.Fatalf("%v\nafter these steps:\n%s", err, &story)
}

// walker is one walk.
type walker struct {
	*Walk
	t     testing.TB
	clock *Clock
	node  func() broker.Broker
	b     *bench
	m     *model
	n     int // of the step
	story *strings.Builder
}

// walk does the steps and returns what went wrong first.
func (w *Walk) walk(t testing.TB, steps []step, story *strings.Builder) error {
	clock := NewClock()
	k := &walker{Walk: w, t: t, clock: clock, node: w.Shared(t, clock), m: newModel(clock), story: story}
	k.b = startNode(t, k.node(), clock, "node-1")
	for n, s := range steps {
		k.n = n
		if err := k.do(s); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
	}
	for _, l := range k.m.logs {
		if err := errors.Join(k.read(l, broker.Range{}), k.state(l, broker.StateRange{})); err != nil {
			return fmt.Errorf("at the end: %s: %w", l.name, err)
		}
	}
	return nil
}
