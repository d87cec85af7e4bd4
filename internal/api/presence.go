package api

import (
	"net/http"
	"strconv"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// listMembers answers who is present in a channel: to a server, and to a user
// who may see it there.
func (h *Handler) listMembers(w http.ResponseWriter, r *http.Request) error {
	who, t, name, err := h.target(r, channel.OpPresence)
	if err != nil {
		return err
	}
	n := h.opts.Load().Sessions.Node()
	if err := n.HasPresence(t, name); err != nil {
		return err
	}
	q := r.URL.Query()
	limit, after := defaultPage, q.Get("cursor")
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 0 || limit > session.MaxMembers {
			return protocol.Errorf(protocol.CodeBadRequest, "limit must be from 0 (only the total) to %d", session.MaxMembers)
		}
	}
	if len(after) > protocol.MaxChannel {
		return protocol.Errorf(protocol.CodeBadRequest, "cursor is not one that this server gave out")
	}
	page, err := n.Members(r.Context(), name, broker.MemberRange{After: after, Limit: limit})
	if err != nil {
		return err
	}
	if !who.server {
		for i := range page.Members {
			page.Members[i].Connection = "" // the operator's alone
		}
	}
	var d document
	d.text("channel", name)
	d.members("members", page.Members)
	d.number("total", uint64(page.Total))
	if page.More && len(page.Members) > 0 {
		d.text("cursor", page.Members[len(page.Members)-1].ID)
	}
	return h.send(w, http.StatusOK, d.end())
}
