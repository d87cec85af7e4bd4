package ringdown

import (
	"context"
	"encoding/json"

	"ringdown/internal/broker"
	"ringdown/internal/session"
)

// Member is somebody who is present in a channel.
type Member struct {
	ID         string          // what clients know the member by
	Connection string          // see Disconnect
	User       string          // empty: not signed in
	Data       json.RawMessage // what the member says of itself; nil: nothing
}

// Presence returns who is present in a channel, on all nodes, in order of their
// IDs. The channel's rules are not asked: this is the server itself.
// Who comes or goes meanwhile may be in it or not. Errors are *protocol.Error,
// or ctx's.
func (s *Server) Presence(ctx context.Context, channel string) ([]Member, error) {
	t, err := s.node.Resolve(channel)
	if err == nil {
		err = s.node.HasPresence(t, channel)
	}
	if err != nil {
		return nil, err
	}
	var list []Member
	for after := ""; ; {
		page, err := s.node.Members(ctx, channel, broker.MemberRange{After: after, Limit: session.MaxMembers})
		if err != nil {
			return nil, err
		}
		for _, m := range page.Members {
			list = append(list, Member{ID: m.ID, Connection: m.Connection, User: m.User, Data: m.Data})
			after = m.ID
		}
		if !page.More || len(page.Members) == 0 {
			return list, nil
		}
	}
}
