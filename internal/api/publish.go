package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/session"
	"ringdown/protocol"
)

const (
	maxBatch = 1000
	// A batch may have this many times the bytes of one message.
	batchFactor = 16
)

// item is one publication in a body.
type item struct {
	Channel string          `json:"channel"`
	Type    string          `json:"type"`
	Data    json.RawMessage `json:"data"`
	Data64  *string         `json:"data64"`
	Key     string          `json:"key"`
	Dedupe  string          `json:"dedupe"`
}

// accepted is the answer to one publication.
type accepted struct {
	Channel   string `json:"channel"`
	Epoch     string `json:"epoch,omitempty"`
	Offset    uint64 `json:"offset,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// body reads a JSON body of at most limit bytes, checked as messages are: syntax,
// UTF-8, keys that stand there twice, depth.
func body(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the body must be JSON: send Content-Type: application/json")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, protocol.Errorf(protocol.CodeTooLarge, "the body has more than %d bytes", limit)
	case err != nil:
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the body did not arrive whole")
	}
	if err := protocol.ValidJSON(text); err != nil {
		return nil, err
	}
	return text, nil
}

func (h *Handler) publish(w http.ResponseWriter, r *http.Request) error {
	who, err := h.who(r)
	if err != nil {
		return err
	}
	text, err := body(w, r, h.opts.Load().Sessions.Limits().MaxMessage)
	if err != nil {
		return err
	}
	var it item
	if err := json.Unmarshal(text, &it); err != nil {
		return protocol.Errorf(protocol.CodeBadRequest, "the body must be an object with type and data: %v", fieldError(err))
	}
	it.Channel = r.PathValue("channel")
	if it.Dedupe, err = dedupeOf(r, it.Dedupe); err != nil {
		return err
	}
	got, err := h.one(r.Context(), who, it)
	if err != nil {
		return err
	}
	return h.answer(w, http.StatusCreated, got)
}

func (h *Handler) publishBatch(w http.ResponseWriter, r *http.Request) error {
	who, err := h.who(r)
	if err != nil {
		return err
	}
	text, err := body(w, r, batchFactor*h.opts.Load().Sessions.Limits().MaxMessage)
	if err != nil {
		return err
	}
	var batch struct {
		Messages []item `json:"messages"`
	}
	if err := json.Unmarshal(text, &batch); err != nil {
		return protocol.Errorf(protocol.CodeBadRequest, "the body must be an object with messages, a list: %v", fieldError(err))
	}
	if n := len(batch.Messages); n == 0 || n > maxBatch {
		return protocol.Errorf(protocol.CodeBadRequest, "a batch has from 1 to %d messages, this one %d", maxBatch, n)
	}
	results := make([]any, 0, len(batch.Messages))
	for _, it := range batch.Messages {
		got, err := h.one(r.Context(), who, it)
		if err != nil {
			e := protocol.AsError(err)
			results = append(results, map[string]any{"channel": it.Channel, "error": problemOf(e.Code.HTTPStatus(), e)})
			continue
		}
		results = append(results, got)
	}
	return h.answer(w, http.StatusOK, map[string]any{"results": results})
}

// fieldError names the field that has the wrong type, and nothing of Go.
func fieldError(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) && t.Field != "" {
		return "field " + t.Field + " may not be a " + t.Value
	}
	return "it has another form"
}

// one publishes one message for somebody.
func (h *Handler) one(ctx context.Context, who caller, it item) (*accepted, error) {
	sessions := h.opts.Load().Sessions
	n := sessions.Node()
	t, err := n.Resolve(it.Channel)
	if err != nil {
		return nil, err
	}
	if !who.server {
		if err := permit(who, channel.OpPublish, it.Channel, it.Type, t); err != nil {
			return nil, err
		}
	}
	p := &broker.Publication{Message: protocol.Message{Type: it.Type, Channel: it.Channel, Key: it.Key, Data: it.Data}}
	if it.Data64 != nil {
		if it.Data != nil {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "data and data64 exclude each other")
		}
		if p.Message.Data, err = base64.StdEncoding.Strict().DecodeString(*it.Data64); err != nil {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "data64 must be base64")
		}
		p.Message.Binary = true
	}
	if it.Dedupe != "" {
		if err := protocol.ValidDedupe(it.Dedupe); err != nil {
			return nil, err
		}
		p.Dedupe = session.DedupeScope(who.user(), it.Dedupe)
	}
	if t.Declaration.ShowFrom {
		p.Message.From = who.user()
	}
	wait := make(outcome, 1)
	n.Publish(t, p, wait)
	select {
	case o := <-wait:
		if o.err != nil {
			return nil, o.err
		}
		return &accepted{it.Channel, o.receipt.Position.Epoch, o.receipt.Position.Offset, o.receipt.Duplicate}, nil
	case <-ctx.Done():
		return nil, protocol.Errorf(protocol.CodeTimeout, "whether the message was accepted is not known; repeat it with the same dedupe key")
	}
}

func permit(who caller, op channel.Op, name, event string, t node.Target) error {
	return node.Permit(t, name, who.identity.Caps, &channel.Request{
		Op: op, User: who.identity.User, Event: event,
		Claims: func() map[string]any {
			var m map[string]any
			_ = json.Unmarshal(who.identity.Claims, &m) // the verifier has decoded it before
			return m
		}})
}

type result struct {
	receipt broker.Receipt
	err     error
}

type outcome chan result

func (o outcome) Appended(_ *broker.Publication, r broker.Receipt, err error) { o <- result{r, err} }
