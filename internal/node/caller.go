package node

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Caller is who asks something of a node, whichever door they came in by. It is used
// by one goroutine at a time, and may be used again for the next message.
type Caller struct {
	// Server says that the caller is the application itself, by a server key or in the
	// process. Then no rule and no hook is asked.
	Server bool
	User   string // empty: not signed in
	Claims func() map[string]any
	// RawClaims are those claims as the token has them, for hooks.
	RawClaims json.RawMessage
	Caps      auth.Capabilities
	// Connection returns the name of the connection; nil where there is none. It is a
	// function because the name is seldom needed.
	Connection func() string
	// Instance is a random text by which a client that is not signed in is recognised
	// when it connects again; empty: it gave none.
	Instance string
	Door     string      // how the request came in: one of the doors of package refusal
	Header   http.Header // for hooks
	Address  netip.AddrPort
	// Budget is what deciding by rules may take; nil: without end.
	Budget *channel.Budget

	request channel.Request // of Permit, so that it allocates nothing
}

// connection returns the name of the caller's connection, "" if there is none.
func (c *Caller) connection() string {
	if c.Connection == nil {
		return ""
	}
	return c.Connection()
}

// clone returns a copy for a goroutine that works while the caller is used again.
func (c *Caller) clone() *Caller {
	copied := *c
	name := c.connection()
	copied.Connection, copied.Claims, copied.Budget, copied.request = func() string { return name }, nil, nil, channel.Request{}
	return &copied
}

// Permit decides whether the caller may do op on the target; nil means yes. event
// is the message's type, for OpPublish. The error names the rule, but tells neither
// its text nor the values it was given. Its cause is for the log.
func (c *Caller) Permit(t Target, name string, op channel.Op, event string) error {
	if c.Server {
		return nil
	}
	v := c.decide(t, name, op, event)
	if v.allowed {
		return nil
	}
	return v.refusal(t.Declaration, name, op)
}

func (c *Caller) decide(t Target, name string, op channel.Op, event string) verdict {
	r := &c.request
	*r = channel.Request{Op: op, User: c.User, Claims: c.Claims, Event: event, Budget: c.Budget}
	if !channel.Word(t.Declaration.Rule(op)) {
		r.Connection = c.connection()
	}
	return decide(t, name, c.Caps, r)
}

// dedupe scopes an idempotency key, so that nobody can use up the key of another. A
// user's key is the user's own, so that a message sent over a socket can be repeated
// by REST. The key of somebody who is not signed in is that of the client, or else
// of its connection.
func (c *Caller) dedupe(key string) (string, error) {
	if key == "" {
		return "", nil
	}
	if err := protocol.ValidDedupe(key); err != nil {
		return "", err
	}
	switch {
	case c.User != "" || c.Server:
		// With the length in front no two pairs of user and key are the same text.
		return strconv.Itoa(len(c.User)) + " " + c.User + " " + key, nil
	case c.Instance != "":
		return "a " + c.Instance + " " + key, nil
	}
	return "c " + c.connection() + " " + key, nil
}
