package reactor

import "time"

// signal is the poller of a loop that has nothing to poll: it waits for mail.
type signal struct {
	c     chan struct{}
	timer *time.Timer
}

func newSignal() *signal { return &signal{c: make(chan struct{}, 1)} }

func (s *signal) wait(_ *Loop, d time.Duration) error {
	switch {
	case d == 0:
		return nil
	case d < 0:
		<-s.c
		return nil
	}
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
	return nil
}

func (s *signal) wake() {
	select {
	case s.c <- struct{}{}:
	default: // a wake is on its way already
	}
}

func (s *signal) close() {}
