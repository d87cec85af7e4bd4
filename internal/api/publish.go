package api

import (
	"context"
	"net/http"

	"ringdown/internal/broker"
	"ringdown/internal/node"
	"ringdown/internal/session"
	"ringdown/protocol"
)

const (
	maxBatch = 1000
	// A batch may have this many times the bytes of one message.
	batchFactor = 16
)

// accepted is the answer to one publication.
type accepted struct {
	Channel   string `json:"channel"`
	Epoch     string `json:"epoch,omitempty"`
	Offset    uint64 `json:"offset,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
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
	it, err := parseItem(text, "", publicationFields)
	if err != nil {
		return err
	}
	it.Channel = r.PathValue("channel")
	if err = it.heads(r); err != nil {
		return err
	}
	o := make(outcome, 1)
	h.begin(r.Context(), who, it, o)
	who.settle(h.opts.Load().Sessions)
	got, err := o.wait(r.Context(), it)
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
	items, err := parseBatch(text)
	if err != nil {
		return err
	}
	// All of them are on their way before the first is waited for, so that they
	// share what is slow, an fsync for instance. The broker takes each at once, so
	// those of one channel keep their order.
	waits := make([]outcome, len(items))
	for i, it := range items {
		it.trace(r)
		waits[i] = make(outcome, 1)
		h.begin(r.Context(), who, it, waits[i])
	}
	who.settle(h.opts.Load().Sessions)
	results := make([]any, len(items))
	for i, it := range items {
		if got, err := waits[i].wait(r.Context(), it); err != nil {
			results[i] = map[string]any{"channel": it.Channel, "error": h.refused(r, it.Channel, err)}
		} else {
			results[i] = got
		}
	}
	return h.answer(w, http.StatusOK, map[string]any{"results": results})
}

// begin sends one message on its way; what becomes of it comes out of done.
func (h *Handler) begin(ctx context.Context, who caller, it item, done outcome) {
	doing(ctx, "publish")
	s := h.opts.Load().Sessions
	if err := who.visit(s); err != nil {
		done.Appended(broker.Receipt{}, err)
		return
	}
	h.hand(ctx, s, who, it, done)
}

// hand is begin for a message whose visit was counted.
func (h *Handler) hand(ctx context.Context, s *session.Server, who caller, it item, done outcome) {
	s.Node().Publish(who.asks(), &protocol.Message{Type: it.Type, Channel: it.Channel, Key: it.Key, Data: it.Data, Binary: it.Binary, Dedupe: it.Dedupe, Trace: it.Trace},
		&door{outcome: done, ctx: ctx, sessions: s, who: who})
}

// door is where a publication by REST comes in: its request waits for it.
type door struct {
	outcome
	ctx      context.Context
	sessions *session.Server
	who      caller
}

// Await implements node.Door.
func (d *door) Await(work func(ctx context.Context) error, next func(err error)) {
	next(d.sessions.Guarded(d.ctx, work))
}

// Spend implements node.Door.
func (d *door) Spend(steps int) {
	if n := steps / node.SmallSteps; n > 0 && !d.who.server {
		d.sessions.Charge(d.who.user(), n)
	}
}

type result struct {
	receipt broker.Receipt
	err     error
}

// outcome is given what became of a publication.
type outcome chan result

func (o outcome) Appended(r broker.Receipt, err error) { o <- result{r, err} }

func (o outcome) wait(ctx context.Context, it item) (*accepted, error) {
	select {
	case r := <-o:
		if r.err != nil {
			return nil, r.err
		}
		return &accepted{it.Channel, r.receipt.Position.Epoch, r.receipt.Position.Offset, r.receipt.Duplicate}, nil
	case <-ctx.Done():
		return nil, protocol.Errorf(protocol.CodeTimeout, "whether the message was accepted is not known; repeat it with the same dedupe key")
	}
}
