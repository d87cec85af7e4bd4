package sale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// A rush is so many buyers within so long.
const (
	rushBuyers = 200
	rushLasts  = 4 * time.Second
)

func (s *Shop) answerBuy(_ context.Context, call *ringdown.Call) (any, error) {
	who, err := user(call)
	if err != nil {
		return nil, err
	}
	var w Wish
	if err := stage.DecodeJSON(bytes.NewReader(call.Data), &w); err != nil {
		return nil, err
	}
	return s.Buy(who, w)
}

func (s *Shop) answerNext(_ context.Context, call *ringdown.Call) (any, error) {
	if _, err := user(call); err != nil {
		return nil, err
	}
	next, err := s.Next()
	if err != nil {
		return nil, err // not next: a nil *Sale is not a nil result
	}
	return next, nil
}

func (s *Shop) answerRush(_ context.Context, call *ringdown.Call) (any, error) {
	if _, err := user(call); err != nil {
		return nil, err
	}
	if err := s.Rush(); err != nil {
		return nil, err
	}
	return map[string]int{"buyers": rushBuyers}, nil
}

// Rush sends made-up buyers into the sale that is on, or waits with them for its
// beginning. It returns at once. Errors are *protocol.Error: conflict if there is no
// sale, or a rush already.
func (s *Shop) Rush() error {
	sale, err := s.current()
	if err != nil {
		return err
	}
	now := s.now()
	if sale.ID == 0 || sale.over(now) {
		return refuse("not_open", "no sale is on: start the next one first")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rushing {
		return refuse("on", "the buyers of the last rush are still on their way")
	}
	if s.stopped {
		return protocol.Errorf(protocol.CodeUnavailable, "the shop closes")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.rushing, s.rushEnds = true, cancel
	wait := time.UnixMilli(sale.Starts).Sub(now)
	s.rushes.Go(func() {
		defer func() {
			cancel()
			s.mu.Lock()
			s.rushing = false
			s.mu.Unlock()
		}()
		s.rush(ctx, sale.ID, max(wait, 0))
	})
	return nil
}

// rush has all of them buy at a moment of their own.
func (s *Shop) rush(ctx context.Context, sale uint64, wait time.Duration) {
	var all sync.WaitGroup
	for i := range rushBuyers {
		at := wait + rand.N(rushLasts)
		all.Go(func() {
			select {
			case <-time.After(at):
			case <-ctx.Done():
				return
			}
			who := fmt.Sprintf("rush-%03d", i+1)
			_, err := s.Buy(who, Wish{sale, fmt.Sprintf("%s-%016x", who, rand.Uint64())})
			if _, refused := errors.AsType[*protocol.Error](err); err != nil && !refused {
				s.log.Error("a made-up buyer could not buy", "error", err)
			}
		})
	}
	all.Wait()
}
