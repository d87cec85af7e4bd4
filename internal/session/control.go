package session

import (
	"context"
	"encoding/json"
	"strings"

	"ringdown/protocol"
)

// What nodes ask of each other about connections. A connection's id begins with
// the name of its node, so each of these can be asked of any node.
const (
	verbConnection     = "connection"
	verbDisconnect     = "disconnect"
	verbDisconnectUser = "disconnect-user"
	verbPost           = "deliver"
	verbTicket         = "ticket"
	verbConnections    = "connections"
)

// answerNodes sets what this node answers to others. It comes before the node's Start.
func (s *Server) answerNodes() {
	handle(s, verbConnection, func(ctx context.Context, id string) (Info, error) {
		found := make(chan Info, 1) // not a variable: the loop may still write when ctx has ended
		if err := s.on(ctx, id, func(x *Session) { found <- x.info() }); err != nil {
			return Info{}, err
		}
		return <-found, nil
	})
	handle(s, verbDisconnect, func(ctx context.Context, id string) (struct{}, error) {
		return struct{}{}, s.on(ctx, id, func(x *Session) {
			x.kick(protocol.CloseByOperator)
		})
	})
	handle(s, verbDisconnectUser, s.disconnectHere)
	handle(s, verbPost, s.postHere)
	handle(s, verbTicket, s.redeemHere)
	handle(s, verbConnections, s.connectionsHere)
}

// handle gives a verb's request its type.
func handle[Request, Answer any](s *Server, verb string, fn func(ctx context.Context, r Request) (Answer, error)) {
	s.node.Handle(verb, func(ctx context.Context, request json.RawMessage) (any, error) {
		var r Request
		if err := json.Unmarshal(request, &r); err != nil {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "the request %q of a node cannot be read", verb)
		}
		return fn(ctx, r)
	})
}

// askOwner asks the node that holds a connection.
func (s *Server) askOwner(ctx context.Context, connection, verb string, request, answer any) error {
	node, _, ok := parseID(connection)
	if !ok {
		return errNoConnection(connection)
	}
	err := s.node.Ask(ctx, node, verb, request, answer)
	if err != nil && protocol.AsError(err).Code == protocol.CodeNotFound {
		return errNoConnection(connection) // its node is gone, or it is
	}
	return err
}

// Connection describes an open connection, whichever node holds it.
func (s *Server) Connection(ctx context.Context, connection string) (Info, error) {
	var info Info
	err := s.askOwner(ctx, connection, verbConnection, connection, &info)
	return info, err
}

// Disconnect closes a connection with 4005, whichever node holds it.
func (s *Server) Disconnect(ctx context.Context, connection string) error {
	return s.askOwner(ctx, connection, verbDisconnect, connection, nil)
}

// DisconnectUser closes all connections of a user, on every node, with 4005 and
// returns how many there were. When nodes do not answer, the count is of the
// others, and the error says so.
func (s *Server) DisconnectUser(ctx context.Context, user string) (int, error) {
	total := 0
	err := s.node.AskAll(ctx, verbDisconnectUser, user, func(_ string, answer json.RawMessage) {
		var n int
		if json.Unmarshal(answer, &n) == nil {
			total += n
		}
	})
	return total, err
}

type connectionsRequest struct {
	Cursor string // of one node
	Limit  int
}

type connectionsPage struct {
	Connections []Info
	Next        string
}

// Connections returns a page of at most limit open connections of all nodes, one
// node after the other, from cursor on ("" for the first page), and the cursor of
// the next page ("" when it was the last). A connection that stays open all the
// while is listed exactly once.
func (s *Server) Connections(ctx context.Context, cursor string, limit int) (page []Info, next string, err error) {
	nodes, err := s.node.Nodes(ctx)
	if err != nil {
		return nil, "", err
	}
	at, inner, ok := strings.Cut(cursor, "!")
	if cursor != "" && !ok {
		return nil, "", errCursor
	}
	for _, node := range nodes {
		if node < at {
			continue
		}
		if node != at {
			inner = "" // the node of the cursor is gone, or done with
		}
		for {
			var p connectionsPage
			if err := s.node.Ask(ctx, node, verbConnections, connectionsRequest{inner, limit - len(page)}, &p); err != nil {
				return nil, "", err
			}
			page = append(page, p.Connections...)
			if inner = p.Next; inner == "" {
				break
			}
			if len(page) >= limit {
				return page, node + "!" + inner, nil
			}
		}
	}
	return page, "", nil
}
