package poll

import (
	"container/list"
	"crypto/rand"
	"encoding/base64"
	"sync"

	"ringdown/internal/reactor"
	"ringdown/internal/session"
)

// How many sessions may wait for their next request, of one user or, where
// nobody is signed in, of one address, behind which may be many. A client is
// between two requests for moments only; those past it are of clients that left.
const (
	mostOfUser    = 32
	mostOfAddress = 512
)

// table is the sessions that polls go on in, by their name, which is a secret,
// and those that wait for their next request, by whose they are. The zero value
// is ready. It is safe for concurrent use.
type table struct {
	mu     sync.Mutex
	lines  map[string]*link
	parked map[string]*list.List // of *link, in the order in which they were parked
}

// ownerOf names whose a session is.
func ownerOf(o *session.Open) string {
	if o.Identity != nil && o.Identity.User != "" {
		return "u" + o.Identity.User
	}
	return "a" + o.RemoteAddr.Addr().String()
}

// add makes a session known and returns its name.
func (t *table) add(l *link) string {
	var secret [16]byte
	rand.Read(secret[:]) // never fails (crypto/rand)
	name := base64.RawURLEncoding.EncodeToString(secret[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines == nil {
		t.lines, t.parked = map[string]*link{}, map[string]*list.List{}
	}
	t.lines[name] = l
	return name
}

// find returns the session of that name, nil if there is none here.
func (t *table) find(name string) *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines[name]
}

// remove forgets a session.
func (t *table) remove(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.lines, l.name)
	t.unparked(l)
}

// park notes that a session waits for its next request, and ends the one of the
// same owner that has waited longest, if there are too many.
func (t *table) park(l *link) {
	most := mostOfUser
	if l.owner[0] == 'a' {
		most = mostOfAddress
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.parked[l.owner]
	if line == nil {
		line = list.New()
		t.parked[l.owner] = line
	}
	l.place = line.PushBack(l)
	if line.Len() > most {
		oldest := line.Front().Value.(*link)
		t.unparked(oldest)
		oldest.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { oldest.expire() }))
	}
}

// unpark notes that a request has come.
func (t *table) unpark(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unparked(l)
}

func (t *table) unparked(l *link) {
	if l.place == nil {
		return
	}
	line := t.parked[l.owner]
	line.Remove(l.place)
	l.place = nil
	if line.Len() == 0 {
		delete(t.parked, l.owner)
	}
}
