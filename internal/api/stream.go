package api

import (
	"net/http"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// streamHeader carries the secret of a stream's welcome: a header and never the
// address, which ends up in logs.
const streamHeader = "Ringdown-Stream"

// postMessage takes a message on behalf of a connection that cannot carry it: one
// of Server-Sent Events. Who knows the stream's secret needs nothing else; without
// it a token of the same user, or a server key, is asked for.
func (h *Handler) postMessage(w http.ResponseWriter, r *http.Request) error {
	sessions := h.opts.Load().Sessions
	d := session.Posted{Connection: r.PathValue("connection")}
	var err error
	if d.Secret = r.Header.Get(streamHeader); d.Secret == "" {
		who, err := h.identify(r)
		if err != nil && protocol.AsError(err).Reason == "credential" {
			return protocol.Errorf(protocol.CodeUnauthorized, "present the secret of the stream's welcome in the header %s, or its user's token: Authorization: Bearer …", streamHeader).WithReason("credential")
		}
		if err != nil {
			return err
		}
		d.User, d.Server = who.user(), who.server
	}
	if d.Message, err = body(w, r, sessions.Limits().MaxMessage); err != nil {
		return err
	}
	if err := sessions.Post(r.Context(), d); err != nil {
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
	who, err := h.identify(r)
	if err != nil {
		return err
	}
	if who.identity == nil {
		return protocol.Errorf(protocol.CodeForbidden, "a ticket stands for a user: present the user's token, not a server key").WithReason("user_token")
	}
	if err := h.noFields(w, r); err != nil {
		return err
	}
	text, ends, err := h.opts.Load().Sessions.IssueTicket(who.identity, auth.RequestOrigin(r))
	if err != nil {
		return err
	}
	return h.answer(w, http.StatusCreated, ticket{text, ends.Truncate(time.Millisecond).UnixMilli()})
}
