package session

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// Info describes an open connection.
type Info struct {
	ID            string
	User          string
	Transport     string
	RemoteAddr    string
	Opened        time.Time
	Subscriptions []string
}

func (x *Session) info() Info {
	c := x.client()
	i := Info{ID: c.Connection, User: c.User, Transport: c.Transport, RemoteAddr: c.RemoteAddr,
		Opened: started.Add(x.opened).Round(0).Truncate(time.Millisecond), Subscriptions: slices.AppendSeq(make([]string, 0, x.out.Len()), x.out.Channels())}
	return i
}

// connectionsHere returns a page of at most limit of this node's connections,
// from cursor on ("" for the first page), and the cursor of the next page ("" when
// it was the last). A connection that stays open all the while is listed exactly once.
func (s *Server) connectionsHere(ctx context.Context, r connectionsRequest) (connectionsPage, error) {
	var p connectionsPage
	first, at, err := parseCursor(r.Cursor)
	if err != nil {
		return p, err
	}
	for i := first; i < len(s.hubs); i++ {
		h := s.hubs[i]
		full := false
		var part []Info // not the page: a list that ctx gave up on may still be written
		err := h.do(ctx, func() {
			for ; at < len(h.table); at++ {
				if len(p.Connections)+len(part) >= r.Limit {
					full = true
					return
				}
				if x := h.table[at]; x != nil {
					part = append(part, x.info())
				}
			}
		})
		if err != nil {
			return connectionsPage{}, err
		}
		p.Connections = append(p.Connections, part...)
		if full {
			p.Next = strconv.Itoa(i) + "." + strconv.Itoa(at)
			return p, nil
		}
		at = 0
	}
	return p, nil
}

// Turn goes through every loop and returns when each has answered.
func (s *Server) Turn(ctx context.Context) error {
	for _, h := range s.hubs {
		if err := h.do(ctx, func() {}); err != nil {
			return err
		}
	}
	return nil
}

func parseCursor(s string) (hub, at int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	a, b, _ := strings.Cut(s, ".")
	hub, err1 := strconv.Atoi(a)
	at, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || hub < 0 || at < 0 {
		return 0, 0, errCursor
	}
	return hub, at, nil
}

var errCursor = protocol.Errorf(protocol.CodeBadRequest, "cursor is not one that this server gave out")

// hubOf returns where on this node the connection of that id would be.
func (s *Server) hubOf(connection string) (*hub, id, error) {
	node, i, ok := parseID(connection)
	if !ok || node != s.node.Name() || int(i[0]) >= len(s.hubs) {
		return nil, i, errNoConnection(connection)
	}
	return s.hubs[i[0]], i, nil
}

func errNoConnection(connection string) error {
	return protocol.Errorf(protocol.CodeNotFound, "no connection %.64q is open", connection)
}

// on runs fn with the connection of that id, which is this node's, on its loop.
func (s *Server) on(ctx context.Context, connection string, fn func(x *Session)) error {
	h, i, err := s.hubOf(connection)
	if err != nil {
		return err
	}
	found := make(chan bool, 1)
	err = h.do(ctx, func() {
		x := h.find(i)
		if x != nil {
			fn(x)
		}
		found <- x != nil
	})
	if err != nil {
		return err
	}
	if !<-found {
		return errNoConnection(connection)
	}
	return nil
}

// disconnectHere closes all connections of a user on this node.
func (s *Server) disconnectHere(ctx context.Context, user string) (int, error) {
	counts := make(chan int, len(s.hubs))
	for _, h := range s.hubs {
		n := 0
		w := &walk{hub: h, visit: func(x *Session) {
			if x.identity != nil && x.user() == user {
				n++
				x.kick(protocol.CloseByOperator)
			}
		}}
		w.done = func() { counts <- n }
		if !h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { h.loop.AddJob(w) })) {
			return 0, protocol.Errorf(protocol.CodeUnavailable, "this server is going down")
		}
	}
	total := 0
	for range s.hubs {
		select {
		case n := <-counts:
			total += n
		case <-ctx.Done():
			return total, ctx.Err()
		}
	}
	return total, nil
}

// refuse tells that a token was not accepted, and closes.
func (x *Session) refuse(err error) {
	x.deny("connect", nil, "", err)
	code := protocol.CloseInvalidToken
	switch {
	case auth.IsExpired(err):
		code = protocol.CloseTokenExpired
	case protocol.AsError(err).Code == protocol.CodeUnavailable:
		// Whether it is good could not be found out: the client is to come back.
		code = protocol.CloseBackendRefused
	}
	x.end(code)
}
