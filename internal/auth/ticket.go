package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"ringdown/protocol"
)

// Bounds of tickets.
const (
	TicketLife   = 30 * time.Second
	MaxTickets   = 200_000 // given out in one TicketLife, on one node
	UserTickets  = 1_000   // of those, to one user
	ticketBytes  = 16
	ticketLength = 22 // of its text
	maxNode      = 64 // of a node's name: see broker.Broker
)

// Tickets is what a node has given out in place of tokens: each can be used
// once, within TicketLife, by pages of the origin that it was given to. A ticket
// in an address is worth nothing once it was used, unlike a token. No user has
// more than a small share of them, so that nobody can use up those of the others.
// The zero value is ready for use. Safe for concurrent use.
type Tickets struct {
	mu    sync.Mutex
	open  map[[ticketBytes]byte]ticket
	given []given        // in the last TicketLife, in order, used ones included
	users map[string]int // how many of given each user has
	timer *time.Timer    // forgets the last ones when nobody asks for more
}

type ticket struct {
	who    *Identity
	origin string // canonical; "" for anybody
	ends   time.Time
}

type given struct {
	key  [ticketBytes]byte
	user string
	at   time.Time
}

// Issue returns a ticket for who, and when it ends: no later than who's token.
// origin is that of the page that asked (RequestOrigin). It fails, retryably,
// when too many were given out, to this user or to all.
func (t *Tickets) Issue(who *Identity, origin string) (text string, ends time.Time, err error) {
	now := time.Now()
	var k [ticketBytes]byte
	rand.Read(k[:]) // never fails (crypto/rand)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	if t.users[who.User] >= UserTickets {
		return "", ends, &protocol.Error{Code: protocol.CodeLimitExceeded, Retryable: true, RetryAfter: time.Second, Reason: "tickets_of_user",
			Message: fmt.Sprintf("%d tickets were given to this user in the last %v; one serves for one connection, so fetch it when you connect", UserTickets, TicketLife)}
	}
	if len(t.given) >= MaxTickets {
		return "", ends, &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: t.left(now), Reason: "tickets",
			Message: fmt.Sprintf("this server has given %d tickets to its users in the last %v, and gives no more before the first of them end", MaxTickets, TicketLife)}
	}
	ends = now.Add(TicketLife)
	if !who.Expires.IsZero() && who.Expires.Before(ends) {
		ends = who.Expires
	}
	if t.open == nil {
		t.open, t.users = make(map[[ticketBytes]byte]ticket), make(map[string]int)
		t.timer = time.AfterFunc(TicketLife, t.tidy)
	}
	t.open[k] = ticket{who, origin, ends}
	t.given = append(t.given, given{k, who.User, now})
	t.users[who.User]++
	return base64.RawURLEncoding.EncodeToString(k[:]), ends, nil
}

// left returns how long the oldest is still counted.
func (t *Tickets) left(now time.Time) time.Duration {
	return max(t.given[0].at.Add(TicketLife).Sub(now), time.Second)
}

// forget drops what is older than a ticket can be. One that ends early, with its
// token, is refused meanwhile by Redeem.
func (t *Tickets) forget(now time.Time) {
	n := 0
	for ; n < len(t.given) && now.Sub(t.given[n].at) >= TicketLife; n++ {
		g := &t.given[n]
		delete(t.open, g.key)
		if t.users[g.user]--; t.users[g.user] == 0 {
			delete(t.users, g.user)
		}
		*g = given{}
	}
	if t.given = t.given[n:]; len(t.given) == 0 {
		t.given = nil
	}
}

// tidy forgets what has ended, and all of the memory with the last one.
func (t *Tickets) tidy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.forget(now); len(t.given) > 0 {
		t.timer.Reset(t.left(now))
		return
	}
	t.open, t.users, t.given, t.timer = nil, nil, nil, nil
}

// Redeem swaps a ticket for who it stands for, once. A page of another origin is
// refused and does not use it up: whoever has it for good still can.
func (t *Tickets) Redeem(text, origin string) (*Identity, error) {
	var k [ticketBytes]byte
	if len(text) != ticketLength {
		return nil, ErrTicket
	}
	if _, err := strict.Decode(k[:], []byte(text)); err != nil {
		return nil, ErrTicket
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	got, ok := t.open[k]
	switch {
	case !ok:
		return nil, ErrTicket
	case got.origin != "" && origin != "" && got.origin != origin:
		return nil, errTicketOrigin
	}
	delete(t.open, k)
	if !time.Now().Before(got.ends) {
		return nil, ErrTicket
	}
	return got.who, nil
}

// The refusals of tickets.
var (
	// ErrTicket refuses one that is not good. It is a *protocol.Error.
	ErrTicket       error = refuse("the ticket is not good: it was used, or is older than %v, or its server is gone; fetch a new one from /v1/tickets", TicketLife)
	errTicketOrigin       = refuse("the ticket was given to a page of another origin")
)

// SplitTicket takes the name of the node off a ticket, behind which its text stands.
func SplitTicket(ticket string) (node, text string, ok bool) {
	n := len(ticket) - ticketLength
	if n <= 0 || !ValidNode(ticket[:n]) {
		return "", "", false
	}
	return ticket[:n], ticket[n:], true
}

// ValidNode reports whether s can be the name of a node. Names in tickets and
// ids come from clients, and a broker may make an address of them.
func ValidNode(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxNode
}

// RequestTicket finds the ticket that came with a request.
func RequestTicket(r *http.Request) (ticket string, found bool) {
	if r.URL.RawQuery == "" {
		return "", false
	}
	t := r.URL.Query().Get("ticket")
	return t, t != ""
}

// RequestOrigin returns the origin of the page that makes a request in its one
// spelling, "" if the request comes from no page, or from one of the same origin
// by a method that browsers send no Origin with.
func RequestOrigin(r *http.Request) string {
	origin := r.Header.Get("Origin")
	if c, bad := canonical(origin); bad == nil {
		return c
	}
	return origin
}

// Passport is an Identity on its way to another node.
type Passport struct {
	User    string          `json:"user"`
	Claims  json.RawMessage `json:"claims,omitempty"`
	Expires time.Time       `json:"expires,omitzero"`
	Leeway  time.Duration   `json:"leeway,omitzero"`
}

// Passport returns what another node needs to know of i.
func (i *Identity) Passport() Passport {
	return Passport{User: i.User, Claims: i.Claims, Expires: i.Expires, Leeway: i.Leeway}
}

// Identity returns who the passport is of. The capabilities are read from the
// claims again.
func (p Passport) Identity() (*Identity, error) {
	i := &Identity{User: p.User, Claims: p.Claims, Expires: p.Expires, Leeway: p.Leeway}
	if len(p.Claims) == 0 {
		return i, nil
	}
	c, err := parseClaims(p.Claims)
	if err != nil {
		return nil, err
	}
	if raw, ok := c[capabilityClaim]; ok {
		if i.Caps, err = parseCapabilities(raw); err != nil {
			return nil, err
		}
	}
	return i, nil
}
