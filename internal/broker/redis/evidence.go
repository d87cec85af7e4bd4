package redis

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// point is a place in a channel's log that this node has seen with its own eyes:
// a message that it was told is accepted, or one that it delivered. A log that
// has another fingerprint there is another history.
type point struct {
	epoch   string
	offset  uint64
	print   string
	lineage string // the replication id of the server that showed it
}

// evidence remembers the newest points of the channels that this node published
// to or followed lately. Every script that touches a log is given them, and they
// are all looked at when Redis is another server than before: so a server that
// lacks what another has accepted is found out, even where nobody follows the
// channel any more.
//
// It is bounded in two generations: what was not touched for one of them is
// forgotten with the next. A server that was cut off and took writes is given up
// by its Sentinels within seconds, so minutes are plenty.
type evidence struct {
	mu         sync.Mutex
	young, old map[string][]point
	turned     time.Time
}

const (
	evidenceNames = 64 << 10 // channels in a generation
	evidenceTurn  = 3 * time.Minute
	evidenceEach  = 4 // points of one channel
)

// seen returns the points of a channel. Not to be changed.
func (e *evidence) seen(name string) []point {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p, ok := e.young[name]; ok {
		return p
	}
	return e.old[name]
}

// add puts a point in. It takes the place of those in told: the script that
// showed it was given them and did not object.
func (e *evidence) add(name string, told []point, p point) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if len(e.young) >= evidenceNames || now.Sub(e.turned) > evidenceTurn {
		e.old, e.young, e.turned = e.young, map[string][]point{}, now
	}
	had, ok := e.young[name]
	if !ok {
		had = e.old[name]
		name = strings.Clone(name)
	}
	list := make([]point, 0, len(had)+1)
	for _, h := range had {
		if !slices.Contains(told, h) && h != p {
			list = append(list, h)
		}
	}
	if len(list) == evidenceEach {
		list = list[1:]
	}
	e.young[name] = append(list, p)
}

// names returns the channels that there is evidence of.
func (e *evidence) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]string, 0, len(e.young)+len(e.old))
	for name := range e.young {
		list = append(list, name)
	}
	for name := range e.old {
		if _, twice := e.young[name]; !twice {
			list = append(list, name)
		}
	}
	return list
}
