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
	who, err := h.identify(r)
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
	if err = it.applyHeaders(r); err != nil {
		return err
	}
	infoOf(r.Context()).action = "publish"
	if err := who.visit(h.opts.Load().Sessions); err != nil {
		return err
	}
	return h.publishItem(w, r, who, it, http.StatusCreated)
}

// publishItem publishes one message, and answers with the status when it is accepted.
func (h *Handler) publishItem(w http.ResponseWriter, r *http.Request, who caller, it item, status int) error {
	s := h.opts.Load().Sessions
	p := submit(r.Context(), s, who, it, nil)
	who.charge(s)
	got, err := p.wait(it)
	if err != nil {
		return err
	}
	return h.answer(w, status, got)
}

func (h *Handler) publishBatch(w http.ResponseWriter, r *http.Request) error {
	who, err := h.identify(r)
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
	infoOf(r.Context()).action = "publish"
	s := h.opts.Load().Sessions
	publishers := make([]*publisher, len(items))
	for i, it := range items {
		it.applyTrace(r)
		publishers[i] = submit(r.Context(), s, who, it, who.visit(s))
	}
	who.charge(s)
	results := make([]any, len(items))
	for i, it := range items {
		if got, err := publishers[i].wait(it); err != nil {
			results[i] = map[string]any{"channel": it.Channel, "error": h.refused(r, it.Channel, err)}
		} else {
			results[i] = got
		}
	}
	return h.answer(w, http.StatusOK, map[string]any{"results": results})
}

// publisher publishes one message by REST: its request waits for the outcome.
type publisher struct {
	ctx      context.Context
	sessions *session.Server
	who      caller
	outcome  chan outcome
}

type outcome struct {
	receipt broker.Receipt
	err     error
}

// submit sends a message on its way, unless it is refused already.
func submit(ctx context.Context, s *session.Server, who caller, it item, refused error) *publisher {
	p := &publisher{ctx, s, who, make(chan outcome, 1)}
	if refused != nil {
		p.outcome <- outcome{err: refused}
		return p
	}
	s.Node().Publish(who.forNode(), &protocol.Message{Type: it.Type, Channel: it.Channel, Key: it.Key, Data: it.Data, Binary: it.Binary, Dedupe: it.Dedupe, Trace: it.Trace}, p)
	return p
}

// Await implements node.Publisher.
func (p *publisher) Await(work func(ctx context.Context) error, next func(err error)) {
	next(p.sessions.Guarded(p.ctx, work))
}

// Spend implements node.Publisher.
func (p *publisher) Spend(steps int) {
	if n := steps / node.SmallSteps; n > 0 && !p.who.server {
		p.sessions.Charge(p.who.user(), n)
	}
}

// Appended implements node.Publisher.
func (p *publisher) Appended(r broker.Receipt, err error) { p.outcome <- outcome{r, err} }

func (p *publisher) wait(it item) (*accepted, error) {
	select {
	case o := <-p.outcome:
		if o.err != nil {
			return nil, o.err
		}
		return &accepted{it.Channel, o.receipt.Position.Epoch, o.receipt.Position.Offset, o.receipt.Duplicate}, nil
	case <-p.ctx.Done():
		return nil, protocol.Errorf(protocol.CodeTimeout, "whether the message was accepted is not known; repeat it with the same dedupe key")
	}
}
