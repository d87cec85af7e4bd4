package node

import "sync"

// ear is how a node that nobody follows a room's log on hears of the others all
// the same, while members of it linger: their users may come back elsewhere.
type ear struct {
	mu   sync.Mutex
	log  *Channel // nil: the broker has not answered
	shut bool
}

// Nudge implements Nudger. What is told reaches the attendance by itself.
func (*ear) Nudge() {}

// listen opens the room's ear while somebody lingers, and shuts it after. r.mu
// is held. Who lingers was here a moment ago and mostly followed the log itself,
// so that to go on following costs no request.
func (a *attendance) listen(r *room) {
	switch lingers := r.Lingering() > 0; {
	case lingers && r.ear == nil && !a.node.Immediate():
		e := new(ear)
		r.ear = e
		log, target := PresenceLog(r.name)
		// Without it the member lingers to the end of its grace.
		a.node.Follow(log, target, e, func(c *Channel, err error) {
			if err == nil {
				e.open(c)
			}
		})
	case !lingers && r.ear != nil:
		r.ear.close()
		r.ear = nil
	}
}

func (e *ear) open(c *Channel) {
	e.mu.Lock()
	e.log = c
	shut := e.shut
	e.mu.Unlock()
	if shut {
		c.Leave(e)
	}
}

func (e *ear) close() {
	e.mu.Lock()
	e.shut = true
	c := e.log
	e.mu.Unlock()
	if c != nil {
		c.Leave(e)
	}
}
