package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
)

// TestPace: who asked for a rate is given what has come at its pace: of a log all of
// it, of a state the newest of each key.
func TestPace(t *testing.T) {
	t.Parallel() // it waits most of its time
	for name, c := range map[string]struct {
		texts []string
		hears string
	}{
		"log":   {span(2, 8), words(span(2, 8))},
		"board": {[]string{"a=2", "b=1", "a=3", "b=2", "b=3"}, "a=3 b=3"},
		"both":  {[]string{"a=2", "b=1", "a=3"}, "a=3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newStore(false), nil)
			p := r.following(0, &Opening{Channel: name, Rate: 2})
			if p.phase() != channel.Resting {
				t.Errorf("its phase is %v", p.phase())
			}
			first := "1"
			if strings.Contains(c.hears, "=") {
				first = "a=1"
			}
			begun := time.Now()
			r.publish(name, first)
			p.wants("%s", first)
			p.do(func() { r.publish(name, c.texts...) })
			if name == "both" {
				c.hears = "b=1 a=3" // each key once
			}
			p.wants("%s", c.hears)
			if took := time.Since(begun); took < 450*time.Millisecond {
				t.Errorf("it has all after %v", took)
			}
			r.publish(name, "c=7")
			r.publish(name, "d=8")
			r.idle()
			p.do(func() { p.sub.Unsubscribe(0) }) // while its timer runs
			if name == "log" {
				time.Sleep(600 * time.Millisecond) // it fires for nobody
			}
		})
	}
}

// TestPaceIsTakenOnce: a nudge does not wake a member that waits for its pace, and a
// timer wakes nobody when nothing has come.
func TestPaceIsTakenOnce(t *testing.T) {
	t.Parallel() // it waits most of its time
	r := newRig(t, newStore(false), nil)
	p := r.following(0, &Opening{Channel: "log", Rate: 10})
	q := r.following(0, &Opening{Channel: "log"})
	r.publish("log", "1")
	p.wants("1")
	q.wants("1")
	p.do(func() {
		g := p.sub.subs[0].group
		m := &g.members[p.sub.subs[0].at]
		m.pacer.pace.Take(p.loop.Now())
		g.wake(m)
		if !m.pacer.armed || m.reader.Phase != channel.Resting {
			t.Errorf("it does not wait: %+v", m)
		}
		g.wake(m)
	})
	r.until("the timer has fired", func() (yes bool) {
		p.do(func() { yes = !p.sub.subs[0].group.members[p.sub.subs[0].at].pacer.armed })
		return yes
	})
	if p.offered != 1 || p.phase() != channel.Resting {
		t.Errorf("it was written to %d times", p.offered)
	}
	begun := time.Now()
	for n := 2; n < 12; n++ {
		r.publish("log", span(n, n)...)
		r.idle()
	}
	p.wants("%s", words(span(2, 11)))
	q.wants("%s", words(span(2, 11)))
	p.do(func() {
		if most := 3 + int(time.Since(begun)/(100*time.Millisecond)); p.offered > most {
			t.Errorf("it was written to %d times, more than %d", p.offered, most)
		}
	})
}

// TestPaceOfMuch: of a log all that there is comes at once, run by run; of a state so
// much that each key is in it once, and the rest when the pace allows, unasked.
func TestPaceOfMuch(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", 10_000) + `"`
	var log, board []string
	for n := range 150 {
		log, board = append(log, long), append(board, fmt.Sprintf("k%d=%s", n, long))
	}
	for _, c := range []struct {
		name   string
		texts  []string
		writes int
	}{{"wide", log[:30], 5}, {"tall", board[:30], 1}, {"tall", board, 2}} {
		r := newRig(t, newStore(false), nil)
		p := r.following(0, &Opening{Channel: c.name, Rate: 10})
		p.do(func() { r.publish(c.name, c.texts...) })
		p.wants("%s", words(c.texts))
		if p.offered != c.writes {
			t.Errorf("%s: %d messages come in %d writes", c.name, len(c.texts), p.offered)
		}
	}
}

// TestPaceOverEmptied: when a ring was emptied of what does not count, nothing is
// waited for any more.
func TestPaceOverEmptied(t *testing.T) {
	t.Parallel()
	s := newStore(false)
	s.quiet = 20 * time.Millisecond
	r := newRig(t, s, nil)
	p := r.following(0, &Opening{Channel: "log", Rate: 3})
	r.publish("log", "1")
	p.wants("1")
	r.publish("log", "~2")
	p.r.until("it stands at the head again", func() (yes bool) {
		p.do(func() {
			m := &p.sub.subs[0].group.members[0]
			yes = !m.pacer.armed && !p.sub.subs[0].group.channel.Behind(m.reader.Cursor)
		})
		return yes
	})
	if p.phase() != channel.Resting {
		t.Errorf("its phase is %v", p.phase())
	}
}
