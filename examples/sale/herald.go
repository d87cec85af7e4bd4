package sale

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ringdown"
	"ringdown/protocol"
)

const (
	breath    = 100 * time.Millisecond // between two rounds
	longWait  = 5 * time.Second
	batchSize = 200
)

// place is how far the buyers were told.
type place struct{ sale, number uint64 }

// batch is the message sold: a run of numbers.
type batch struct {
	Sale   uint64   `json:"sale"`
	First  uint64   `json:"first"`
	Buyers []string `json:"buyers"`
}

// herald tells the channels what the records say. It is one goroutine, from start to
// stop: it sleeps until it is woken, publishes the newest stock and all buyers that were
// not told yet, and takes a breath, in which whatever is sold gathers. Nothing of it
// needs to be durable: where it was is in the channels themselves.
type herald struct {
	shop   *Shop
	server *ringdown.Server
	awake  chan struct{} // buffered: a wake during a round starts another
	cancel context.CancelFunc
	done   chan struct{}

	// Owned by run.
	stock  Sale  // as it was told
	told   place // the last buyer told
	batch  batch // is being told; it stays as it is until that has succeeded
	failed int   // rounds in a row
}

func newHerald(s *Shop, server *ringdown.Server) *herald {
	return &herald{shop: s, server: server, awake: make(chan struct{}, 1)}
}

func (h *herald) start(ctx context.Context) error {
	if err := h.resume(ctx); err != nil {
		return fmt.Errorf("sale: reading how far the buyers were told: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan struct{})
	h.wake()
	go h.run(ctx)
	return nil
}

func (h *herald) stop() {
	if h.cancel != nil {
		h.cancel()
		<-h.done
	}
}

// wake says that something has changed. It never waits.
func (h *herald) wake() {
	select {
	case h.awake <- struct{}{}:
	default:
	}
}

// resume finds out where an earlier run has ended, which may have been killed between
// a sale and its telling.
func (h *herald) resume(ctx context.Context) error {
	page, err := h.server.History(ctx, "sale:buyers", ringdown.HistoryRange{Before: ringdown.End, Limit: 1})
	if err != nil {
		return err
	}
	newest, err := h.shop.current()
	if err != nil {
		return err
	}
	h.told = place{sale: newest.ID} // nothing was told, or it is forgotten: begin with this one
	for _, m := range page.Messages {
		var b batch
		if err := json.Unmarshal(m.Data, &b); err != nil {
			return err
		}
		h.told = place{b.Sale, b.First + uint64(len(b.Buyers)) - 1}
	}
	return nil
}

func (h *herald) run(ctx context.Context) {
	defer close(h.done)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-h.awake:
		case <-ctx.Done():
			return
		}
		more, err := h.round(ctx)
		wait := breath
		if err != nil && ctx.Err() == nil {
			if h.failed++; h.failed == 1 {
				h.shop.log.Warn("the sale cannot tell what is sold; it goes on trying", "error", err)
			}
			wait = min(breath<<min(h.failed, 10), longWait)
		} else {
			h.failed = 0
		}
		if more || err != nil {
			h.wake()
		}
		pause.Reset(wait)
	}
}

// round tells what there is to tell. It reports whether there may be more.
func (h *herald) round(ctx context.Context) (more bool, err error) {
	if err := h.tellStock(ctx); err != nil {
		return true, err
	}
	if len(h.batch.Buyers) == 0 {
		if h.batch, err = h.shop.sold(h.told, batchSize); err != nil || len(h.batch.Buyers) == 0 {
			return false, err
		}
	}
	// If the outcome of a try was unknown, the next has the same key and the same content.
	b := h.batch
	_, err = h.server.Publish(ctx, "sale:buyers", "sold", b, ringdown.WithDedupe(fmt.Sprintf("sale-%d-%d", b.Sale, b.First)))
	if err != nil && protocol.AsError(err).Retryable {
		return true, err
	}
	h.told, h.batch = place{b.Sale, b.First + uint64(len(b.Buyers)) - 1}, batch{}
	return true, err
}

// tellStock publishes how the newest sale stands, if that is not what was told last. The
// value is the whole of it, so one that was left out is no loss.
func (h *herald) tellStock(ctx context.Context) error {
	now, err := h.shop.current()
	if err != nil || *now == h.stock {
		return err
	}
	if _, err := h.server.Publish(ctx, "sale:stock", "stock", now, ringdown.WithKey("now")); err != nil {
		return err
	}
	h.stock = *now
	return nil
}
