package reactor

import (
	"math/bits"
	"time"
)

// Timer is one wait. Embed it in what it times: arming allocates nothing. It
// belongs to one loop.
type Timer struct {
	next, prev *Timer
	fire       Firer
	tick       int64 // when it is due; 0: not armed
}

// Firer is told that a timer is due, on the loop.
type Firer interface{ Fire(l *Loop) }

const (
	wheelTick  = 20 * time.Millisecond
	wheelSlots = 2048 // 41 s; longer waits go round
)

// wheel holds armed timers by their tick modulo its size. Ticks begin at 1.
type wheel struct {
	slots [wheelSlots]Timer // heads of circular lists; a head's next is nil while empty
	used  [wheelSlots / 64]uint64
	due   Timer // head of what turn is firing
	now   int64 // the last tick that was fired
	armed int
}

// arm puts t into the slot of tick, taking it out of where it was.
func (w *wheel) arm(t *Timer, tick int64, f Firer) {
	w.disarm(t)
	tick = max(tick, w.now+1)
	t.tick, t.fire = tick, f
	s := int(tick % wheelSlots)
	head := &w.slots[s]
	if head.next == nil {
		head.next, head.prev = head, head
	}
	t.prev, t.next = head.prev, head
	t.prev.next, head.prev = t, t
	w.used[s/64] |= 1 << (s % 64)
	w.armed++
}

func (w *wheel) disarm(t *Timer) {
	if t.tick == 0 {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	w.emptied(int(t.tick % wheelSlots))
	*t = Timer{}
	w.armed--
}

func (w *wheel) emptied(s int) {
	if head := &w.slots[s]; head.next == head {
		w.used[s/64] &^= 1 << (s % 64)
	}
}

// advance fires everything that is due up to tick now.
func (w *wheel) advance(now int64, fire func(f Firer)) {
	if w.armed == 0 {
		w.now = max(w.now, now)
		return
	}
	for w.now < now {
		w.now++
		s := int(w.now % wheelSlots)
		if w.used[s/64]&(1<<(s%64)) == 0 {
			continue
		}
		w.turn(s, fire)
	}
}

// turn fires what is due in one slot. Firing may arm and disarm any timer, so
// the list is taken apart from its head, and what is for a later round is put
// back behind a mark.
func (w *wheel) turn(s int, fire func(f Firer)) {
	head := &w.slots[s]
	due := &w.due
	due.next, due.prev = due, due
	for t := head.next; t != head; {
		next := t.next
		if t.tick <= w.now {
			t.prev.next, t.next.prev = t.next, t.prev
			t.prev, t.next = due.prev, due
			t.prev.next, due.prev = t, t
		}
		t = next
	}
	w.emptied(s)
	for due.next != due {
		t := due.next
		f := t.fire
		w.disarm(t) // it is in due's list, which the unlinking does not mind
		fire(f)
	}
}

// next returns how many ticks after now the next used slot comes, or -1 when
// nothing is armed.
func (w *wheel) next() int64 {
	if w.armed == 0 {
		return -1
	}
	start := int((w.now + 1) % wheelSlots)
	for i := 0; i <= len(w.used); i++ {
		word := (start/64 + i) % len(w.used)
		u := w.used[word]
		if i == 0 {
			u &= ^uint64(0) << (start % 64)
		} else if i == len(w.used) {
			u &= 1<<(start%64) - 1
		}
		if u != 0 {
			s := word*64 + bits.TrailingZeros64(u)
			return int64((s-start+wheelSlots)%wheelSlots) + 1
		}
	}
	return -1
}
