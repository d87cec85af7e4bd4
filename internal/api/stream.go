package api

import (
	"net/http"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// postMessage takes a message on behalf of a connection that cannot carry it: one
// of Server-Sent Events.
func (h *Handler) postMessage(w http.ResponseWriter, r *http.Request) error {
	sessions := h.opts.Load().Sessions
	d := session.Delivery{Connection: r.PathValue("connection")}
	who, err := h.who(r)
	switch {
	case err == nil:
		d.User, d.Server = who.user(), who.server
	case r.Header.Get("Authorization") == "" && sessions.Anonymous():
		// Nobody signed in, who knows the id of a connection of nobody.
	default:
		return err
	}
	if d.Message, err = body(w, r, sessions.Limits().MaxMessage); err != nil {
		return err
	}
	if err := sessions.Deliver(r.Context(), d); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

type ticket struct {
	Ticket  string `json:"ticket"`
	Expires int64  `json:"expires"` // Unix milliseconds
}

// issueTicket swaps a user's token for a ticket.
func (h *Handler) issueTicket(w http.ResponseWriter, r *http.Request) error {
	who, err := h.who(r)
	if err != nil {
		return err
	}
	if who.identity == nil {
		return protocol.Errorf(protocol.CodeForbidden, "a ticket stands for a user: present the user's token, not a server key")
	}
	text, ends, err := h.opts.Load().Sessions.IssueTicket(who.identity, auth.RequestOrigin(r))
	if err != nil {
		return err
	}
	return h.answer(w, http.StatusCreated, ticket{text, ends.Truncate(time.Millisecond).UnixMilli()})
}
