package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// number reads a whole number of the query, nil if it is not there.
func number(r *http.Request, name string) (*uint64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "%s must be a whole number", name)
	}
	return &n, nil
}

// target finds the channel of a request to read, and whether its caller may do op
// there.
func (h *Handler) target(r *http.Request, op channel.Op) (who caller, t node.Target, name string, err error) {
	if who, err = h.identify(r); err != nil {
		return who, t, "", err
	}
	name = r.PathValue("channel")
	infoOf(r.Context()).action = op.String()
	s := h.opts.Load().Sessions
	if err = who.visit(s); err != nil {
		return who, t, name, err
	}
	if t, err = s.Node().Resolve(name); err != nil {
		return who, t, name, err
	}
	asks := who.forNode()
	err = asks.Permit(t, name, op, "")
	who.charge(s)
	if err == nil {
		err = s.AskSubscribe(r.Context(), asks, name)
	}
	return who, t, name, err
}

// history answers with a page of what a channel has kept.
func (h *Handler) history(w http.ResponseWriter, r *http.Request) error {
	_, t, name, err := h.target(r, channel.OpHistory)
	if err != nil {
		return err
	}
	limit, err := pageSize(r)
	if err != nil {
		return err
	}
	after, err := number(r, "after")
	if err != nil {
		return err
	}
	before, err := number(r, "before")
	if err != nil {
		return err
	}
	p, err := h.opts.Load().Sessions.History(r.Context(), name, t, after, before, limit)
	if err != nil {
		return err
	}
	var d document
	d.text("epoch", p.Epoch)
	d.messages("messages", p.Entries)
	d.raw("more", strconv.AppendBool(nil, p.More))
	return h.send(w, http.StatusOK, d.end())
}

// state answers with a page of the latest messages of a channel's keys.
func (h *Handler) state(w http.ResponseWriter, r *http.Request) error {
	_, t, name, err := h.target(r, channel.OpSubscribe)
	if err != nil {
		return err
	}
	limit, err := pageSize(r)
	if err != nil {
		return err
	}
	var at session.StateCursor
	if s := r.URL.Query().Get("cursor"); s != "" {
		if at, err = session.ParseStateCursor(s); err != nil {
			return err
		}
	}
	p, next, err := h.opts.Load().Sessions.State(r.Context(), name, t, at, limit)
	if err != nil {
		return err
	}
	var d document
	d.text("epoch", p.Epoch)
	d.number("offset", p.Head)
	d.messages("items", p.Entries)
	if p.More {
		d.text("cursor", next.String())
	}
	return h.send(w, http.StatusOK, d.end())
}

// setState publishes the value of a key.
func (h *Handler) setState(w http.ResponseWriter, r *http.Request) error {
	text, err := body(w, r, h.opts.Load().Sessions.Limits().MaxMessage)
	if err != nil {
		return err
	}
	it, err := parseItem(text, "", valueFields)
	if err != nil {
		return err
	}
	if it.Data == nil && !it.Binary {
		return protocol.Errorf(protocol.CodeBadRequest, "the body has no data; to delete the key, use DELETE")
	}
	return h.writeKey(w, r, it, "set")
}

// deleteState publishes that a key is gone.
func (h *Handler) deleteState(w http.ResponseWriter, r *http.Request) error {
	// A body is not asked for; one that comes is not to stand in the way of the next request.
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<10)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return protocol.Errorf(protocol.CodeTooLarge, "DELETE takes no body").WithReason("body")
		}
		return protocol.Errorf(protocol.CodeBadRequest, "the body did not arrive whole")
	}
	return h.writeKey(w, r, item{Type: r.URL.Query().Get("type"), Data: json.RawMessage("null")}, "delete")
}

// writeKey publishes to a key. event is what that is called on a channel that takes
// any event, unless the caller has named one.
func (h *Handler) writeKey(w http.ResponseWriter, r *http.Request, it item, event string) error {
	who, err := h.identify(r)
	if err != nil {
		return err
	}
	it.Channel, it.Key = r.PathValue("channel"), r.PathValue("key")
	if err = it.applyHeaders(r); err != nil {
		return err
	}
	infoOf(r.Context()).action = "publish"
	s := h.opts.Load().Sessions
	if err := who.visit(s); err != nil {
		return err
	}
	if it.Type == "" {
		t, err := s.Node().Resolve(it.Channel)
		if err != nil {
			return err
		}
		if it.Type, err = onlyEvent(t.Declaration, it.Channel, event); err != nil {
			return err
		}
	}
	return h.publishItem(w, r, who, it, http.StatusOK)
}

// onlyEvent returns the event that need not be named: the only one that is
// declared, or unnamed where none is.
func onlyEvent(d *channel.Declaration, name, unnamed string) (string, error) {
	if d.State == nil {
		return "", protocol.Errorf(protocol.CodeBadRequest, "channel %q is not a state channel; declare state for it in the configuration file", name)
	}
	if d.Events == nil {
		return unnamed, nil
	}
	names := make([]string, 0, len(d.Events))
	for name, e := range d.Events {
		if !e.Ephemeral {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		return names[0], nil
	}
	slices.Sort(names)
	return "", protocol.Errorf(protocol.CodeBadRequest, "name the event with type: channel %q has %q", d.Name, names)
}
