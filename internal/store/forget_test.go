package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringdown/protocol"
)

// sweepNow has everything that is too old deleted, and what is empty forgotten.
func sweepNow(t *testing.T, s *Store) {
	t.Helper()
	if err := s.sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := position(s, "nobody"); err != nil { // behind what the sweep asked for
		t.Fatal(err)
	}
}

// TestForget: a channel whose messages have all expired counts no longer, and its
// offsets go on if it is used again: over a restart, too.
func TestForget(t *testing.T) {
	c := newClock()
	o := small(vfs.NewMem())
	o.Now, o.Channels = c.Now, 3
	s := open(t, o)
	epoch := s.Epoch()
	brief := &Keep{Messages: 10, For: time.Minute, State: true, StateFor: time.Minute}
	for n := range 3 {
		put(t, s, fmt.Sprint("a", n), "k", "", "1", brief)
		put(t, s, fmt.Sprint("a", n), "k", "", "null", brief)
	}
	full := <-send(s, "b", "", "", "1", brief)
	e := protocol.AsError(full.err)
	if e == nil || e.Code != protocol.CodeLimitExceeded || e.Reason != "store_channels" || !strings.Contains(e.Message, "expired") {
		t.Fatalf("one too many: %+v", full)
	}
	sweepNow(t, s)
	if full = <-send(s, "b", "", "", "1", brief); code(full.err) != protocol.CodeLimitExceeded {
		t.Fatalf("while all are young: %+v", full)
	}
	c.advance(2 * time.Minute)
	sweepNow(t, s)
	sweepNow(t, s)
	if s.Metrics().Forgotten.Load() != 3 {
		t.Errorf("%d were forgotten", s.Metrics().Forgotten.Load())
	}
	for _, restart := range []bool{false, true} {
		if restart {
			shut(t, s)
			s = open(t, o)
		}
		at, err := position(s, "a1")
		got, page, err2 := readAll(s, "a1", *brief, false, 0)
		_, state, err3 := readAll(s, "a1", *brief, true, 0)
		if at != 2 || err != nil || err2 != nil || err3 != nil || len(got) != 0 || page.Head != 2 || page.Oldest != 2 || state.Forgotten != 2 {
			t.Errorf("a forgotten channel stands at %d, %v; %v, %+v, %v; %+v, %v", at, err, got, page, err2, state, err3)
		}
	}
	for n := range 3 {
		if r := put(t, s, fmt.Sprint("a", n), "k", "", fmt.Sprint(n), brief); r.Offset != 3 {
			t.Errorf("made anew it goes on at %d", r.Offset)
		}
	}
	got, page, err := readAll(s, "a1", *brief, false, 0)
	if err != nil || len(got) != 1 || got[0].data != "1" || page.Oldest != 2 || s.Epoch() != epoch {
		t.Errorf("%v, %+v, %v, epoch %s", got, page, err, s.Epoch())
	}
	if full = <-send(s, "b", "", "", "1", brief); code(full.err) != protocol.CodeLimitExceeded {
		t.Errorf("it is full again: %+v", full)
	}
	shut(t, s)
	verify(t, o)
}

// TestForgetInGroup: a channel that is forgotten and used in one group is one.
func TestForgetInGroup(t *testing.T) {
	c := newClock()
	o := small(vfs.NewMem())
	o.Now = c.Now
	s := open(t, o)
	brief := &Keep{For: time.Minute}
	put(t, s, "a", "", "", "1", brief)
	c.advance(time.Hour)
	begun, goOn := make(chan struct{}), make(chan struct{})
	s.Position("a", func(uint64, error) { close(begun); <-goOn })
	<-begun
	s.push(item{trim: true, log: "a"})
	after := send(s, "a", "", "", "2", brief)
	close(goOn)
	if a := <-after; a.err != nil || a.Offset != 2 {
		t.Errorf("%+v", a)
	}
	if s.Metrics().Forgotten.Load() != 1 {
		t.Error("it was not forgotten")
	}
	shut(t, s)
	s = open(t, o)
	if got, _, err := readAll(s, "a", *brief, false, 0); err != nil || len(got) != 1 || got[0].offset != 2 {
		t.Errorf("%v, %v", got, err)
	}
	shut(t, s)
	verify(t, o)
}

// TestForgetFollowed: what somebody follows stays, and so does what a group
// that could not be written would have forgotten.
func TestForgetFollowed(t *testing.T) {
	c := newClock()
	o := small(vfs.NewMem())
	followed := true
	o.Now, o.Followed = c.Now, func(string) bool { return followed }
	s := open(t, o)
	put(t, s, "a", "", "", "1", &Keep{For: time.Minute})
	c.advance(time.Hour)
	sweepNow(t, s)
	if s.Metrics().Forgotten.Load() != 0 {
		t.Error("it was forgotten, though it is followed")
	}
	shut(t, s)
	followed = false
	s = open(t, o)
	sweepNow(t, s)
	if s.Metrics().Forgotten.Load() != 1 {
		t.Error("it was not forgotten")
	}
	shut(t, s)
	verify(t, o)
}

// TestForgetShared: names that share a floor begin where the one that came
// furthest ended, never below.
func TestForgetShared(t *testing.T) {
	c := newClock()
	o := small(vfs.NewMem())
	o.Now = c.Now
	s := open(t, o)
	defer shut(t, s)
	brief := &Keep{For: time.Minute}
	const first, other = "n0", "n7899982"
	if string(floorKey(nil, first)) != string(floorKey(nil, other)) {
		t.Fatal("these two share no floor; look for others")
	}
	for range 5 {
		put(t, s, first, "", "", "1", brief)
	}
	put(t, s, other, "", "", "1", brief)
	c.advance(time.Hour)
	sweepNow(t, s)
	sweepNow(t, s)
	for _, name := range []string{other, first} {
		if r := put(t, s, name, "", "", "2", brief); r.Offset != 6 {
			t.Errorf("%s goes on at %d", name, r.Offset)
		}
	}
}
