package session

import (
	"fmt"
	"testing"
	"time"

	"ringdown/protocol"
)

// TestRateUnderLoad: however fast a key is written, a subscription with a rate
// is given it so often and no more, always with the newest value there is; and
// what came last comes in the end.
func TestRateUnderLoad(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"board","id":1,"data":{"rate":10}}`)
	c.await(2)
	begun := time.Now()
	last := 0
	for time.Since(begun) < time.Second {
		last++
		h.publish("board", "e", fmt.Sprint("k", last%3), fmt.Sprint(last))
	}
	// The last of each key comes with the next delivery.
	v := &view{t: t, known: map[string]string{}}
	times := map[string]int{}
	for v.at < uint64(last) {
		m := c.patient()
		times[m.Key]++
		v.apply([]protocol.Message{m})
	}
	passed := time.Since(begun)
	for k, n := range times {
		if most := int(passed.Seconds()*10) + 2; n > most || n < 3 {
			t.Errorf("%s was given %d times in %v, at most %d were to be", k, n, passed, most)
		}
	}
	for n := range 3 {
		if want := fmt.Sprint(last - n); v.known[fmt.Sprint("k", (last-n)%3)] != want {
			t.Errorf("in the end it has %v, want %s", v.known, want)
		}
	}
	if last < 1000 {
		t.Logf("only %d were written", last)
	}
}

// TestRateOfHistory: on a channel that keeps everything, a rate makes batches
// and leaves out nothing, also when more comes than a ring holds.
func TestRateOfHistory(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"short","id":1,"data":{"rate":20}}`)
	c.one()
	const total = 500 // the ring holds 8
	for n := range total {
		h.publish("short", "e", "", fmt.Sprint(n))
	}
	for at := uint64(0); at < total; {
		at = run(t, at, []protocol.Message{c.patient()})
	}
}

// TestRateOverFullSocket: a rate and a socket that takes little at a time leave
// out nothing in the end.
func TestRateOverFullSocket(t *testing.T) {
	for _, name := range []string{"kept", "board"} {
		h := newHouse(t, houseOptions{})
		c := h.welcomed("ann")
		c.sendf(`{"type":"subscribe","channel":%q,"id":1,"data":{"rate":50}}`, name)
		h.settle()
		c.messages()
		c.fill(100)
		key := ""
		if name == "board" {
			key = "k"
		}
		var head uint64
		for n := range 200 {
			if key != "" {
				key = fmt.Sprint("k", n%20)
			}
			head = h.publish(name, "e", key, fmt.Sprint(n)).Position.Offset
			c.drain(30)
		}
		if key == "" {
			c.drain(-1)
			for at := uint64(0); at < head; {
				at = run(t, at, []protocol.Message{c.patient()})
			}
			continue
		}
		v := &view{t: t, known: map[string]string{}}
		v.reads(c, head)
		for n := 180; n < 200; n++ {
			if v.known[fmt.Sprint("k", n%20)] != fmt.Sprint(n) {
				t.Errorf("has %v", v.known)
			}
		}
	}
}
