package session

import (
	"context"
	"net/http"
	"time"

	"ringdown/internal/auth"
	"ringdown/protocol"
)

// IssueTicket returns a ticket in place of a token: see auth.Tickets. It begins
// with the name of this node, which every other one asks for what it is worth,
// so that it can be used on any of them and only once.
func (s *Server) IssueTicket(who *auth.Identity, origin string) (text string, ends time.Time, err error) {
	text, ends, err = s.tickets.Issue(who, origin)
	return s.node.Name() + text, ends, err
}

// redemption is what a node asks of the one that issued a ticket.
type redemption struct {
	Ticket string `json:"ticket"`
	Origin string `json:"origin"`
}

func (s *Server) redeemHere(_ context.Context, r redemption) (auth.Passport, error) {
	who, err := s.tickets.Redeem(r.Ticket, r.Origin)
	if err != nil {
		return auth.Passport{}, err
	}
	return who.Passport(), nil
}

// Redeem swaps a ticket of any node for who it stands for. Errors are
// *protocol.Error: unauthorized for one that is not good.
func (s *Server) Redeem(ctx context.Context, ticket, origin string) (*auth.Identity, error) {
	node, rest, ok := auth.SplitTicket(ticket)
	if !ok {
		s.metrics.TokensRefused.Add(1)
		return nil, auth.ErrTicket
	}
	if node == s.node.Name() {
		who, err := s.tickets.Redeem(rest, origin)
		if err != nil {
			s.metrics.TokensRefused.Add(1)
		}
		return who, err
	}
	var p auth.Passport
	if err := s.node.Ask(ctx, node, verbTicket, redemption{rest, origin}, &p); err != nil {
		s.metrics.TokensRefused.Add(1)
		if protocol.AsError(err).Code == protocol.CodeNotFound {
			err = auth.ErrTicket // its node is gone, and it with it
		}
		return nil, err
	}
	return p.Identity()
}

// Identify judges who makes a request: by a ticket or a key of this server, else by
// what the application knows it by, else by a token. found is false, and who nil,
// when it has none of these.
func (s *Server) Identify(ctx context.Context, r *http.Request) (who *auth.Identity, found bool, err error) {
	if ticket, ok := auth.RequestTicket(r); ok {
		who, err = s.Redeem(ctx, ticket, auth.RequestOrigin(r))
		return who, true, err
	}
	if key, ok := auth.RequestKey(r); ok && (s.opts.Verifier.Key(key) || s.policy.Load().AnyKey && auth.LooksLikeKey(key)) {
		return &auth.Identity{Server: true}, true, nil
	}
	if who, err = s.Known(ctx, r); who != nil || err != nil {
		return who, true, err
	}
	if token, ok := auth.RequestToken(r); ok {
		who, err = s.Authenticate(ctx, token)
		return who, true, err
	}
	return nil, false, nil
}

// Anonymous reports whether clients that present nothing are let in.
func (s *Server) Anonymous() bool { return s.policy.Load().Anonymous }
