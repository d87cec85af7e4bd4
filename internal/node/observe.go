package node

// observer is how a node that nobody follows a room's log on hears of the others all
// the same, while members of it linger: their users may come back elsewhere.
type observer struct{ log *Channel }

// Nudge implements Nudger. What is told reaches the attendance by itself.
func (*observer) Nudge() {}

// observe gives the room an observer while somebody lingers, and ends it after. r.mu
// is held. Who lingers was here a moment ago and mostly followed the log itself,
// so that to go on following costs no request.
func (a *attendance) observe(r *room) {
	switch lingers := r.Lingering() > 0; {
	case lingers && r.observer == nil && a.node.bus != nil:
		o := new(observer)
		log, target := PresenceLog(r.name)
		// Where it cannot be followed the member lingers to the end of its grace.
		if o.log = a.node.Follow(log, target, o, func(*Channel, error) {}); o.log != nil {
			r.observer = o
		}
	case !lingers && r.observer != nil:
		r.observer.log.Leave(r.observer)
		r.observer = nil
	}
}
