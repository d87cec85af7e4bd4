package client

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// Of who types: how often it is told again, and when it is over for who hears no more.
const (
	typingAgain = 3 * time.Second
	typingOver  = 5 * time.Second
)

// Typing is who types on a channel that declares it (typing: true). People are told apart
// by Message.From, so the channel has to show it.
type Typing struct {
	ch *Channel

	mu   sync.Mutex
	said time.Time // when this client said so last; zero: it does not type
}

// Typing returns what tells others that this client types, and it of others.
func (ch *Channel) Typing() *Typing { return &Typing{ch: ch} }

// Active says that somebody types here. It may be called at each key: it is sent at most
// every 3 seconds. The error is ErrUnavailable when there is no line just now, which is
// nothing to worry about.
func (t *Typing) Active() error {
	t.mu.Lock()
	now := time.Now()
	due := now.Sub(t.said) >= typingAgain
	if due {
		t.said = now
	}
	t.mu.Unlock()
	if !due {
		return nil
	}
	return t.ch.Send("typing", map[string]bool{"active": true})
}

// Stop says that it is over, when the text was sent or taken back; otherwise it is over for
// others after 5 seconds.
func (t *Typing) Stop() error {
	t.mu.Lock()
	said := !t.said.IsZero()
	t.said = time.Time{}
	t.mu.Unlock()
	if !said {
		return nil
	}
	return t.ch.Send("typing", map[string]bool{"active": false})
}

// Watch follows the channel, and gives who types, in order, after each change, for as long
// as the loop goes on. An error ends it, as it does that of Messages.
func (t *Typing) Watch(ctx context.Context) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		s := t.ch.Subscribe()
		defer s.Close()
		until := map[string]time.Time{}
		for {
			m, err := nextBefore(ctx, s, until)
			if err != nil {
				yield(nil, err)
				return
			}
			before := len(until)
			maps.DeleteFunc(until, func(_ string, at time.Time) bool { return !time.Now().Before(at) })
			changed := len(until) != before
			if m != nil && m.Type == "typing" && m.From != "" {
				var d struct{ Active bool }
				_, known := until[m.From]
				if m.Decode(&d) == nil && d.Active {
					until[m.From] = time.Now().Add(typingOver)
				} else {
					delete(until, m.From)
				}
				_, types := until[m.From]
				changed = changed || types != known
			}
			if changed && !yield(slices.Sorted(maps.Keys(until)), nil) {
				return
			}
		}
	}
}

// nextBefore returns the next message, or nil when first somebody is to be forgotten.
func nextBefore(ctx context.Context, s *Subscription, until map[string]time.Time) (*Message, error) {
	if len(until) == 0 {
		return s.Next(ctx)
	}
	first := slices.MinFunc(slices.Collect(maps.Values(until)), time.Time.Compare)
	waiting, cancel := context.WithDeadline(ctx, first)
	defer cancel()
	m, err := s.Next(waiting)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil //nolint:nilnil // that is what it says
	}
	return m, err
}
