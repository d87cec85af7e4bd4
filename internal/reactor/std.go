package reactor

import (
	"runtime"
	"time"
)

// signal is the poller of a loop that has nothing to poll: it waits for mail.
type signal struct {
	c     chan struct{}
	timer *time.Timer
}

func newSignal() *signal { return &signal{c: make(chan struct{}, 1)} }

func (s *signal) wait(l *Loop) {
	until, idle := l.patience()
	switch {
	case !idle, !l.mail.sleep():
		// Sockets are served by goroutines here. A loop that is busy makes room
		// for them, as another would look at its sockets now.
		runtime.Gosched()
		return
	case until.IsZero():
		<-s.c
	default:
		d := time.Until(until)
		if s.timer == nil {
			s.timer = time.NewTimer(d)
		} else {
			s.timer.Reset(d)
		}
		select {
		case <-s.c:
		case <-s.timer.C:
		}
		s.timer.Stop()
	}
	l.mail.awake()
}

func (s *signal) wake() {
	select {
	case s.c <- struct{}{}:
	default: // a wake is on its way already
	}
}

func (s *signal) close() {}
