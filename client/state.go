package client

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"sync"
)

// SharedState is what a state channel keeps: the latest value of each key, kept up to date until
// it is closed.
type SharedState struct {
	sub     *Subscription
	cancel  context.CancelFunc
	done    chan struct{}
	changed chan struct{} // holds one after a change

	mu     sync.Mutex
	values map[string]json.RawMessage
	ready  bool
	err    error
}

// State follows the channel's state, and returns when all of it is there.
func (ch *Channel) State(ctx context.Context) (*SharedState, error) {
	s := ch.follow()
	for {
		s.mu.Lock()
		ready, err := s.ready, s.err
		s.mu.Unlock()
		switch {
		case ready:
			return s, nil
		case err != nil:
			s.Close()
			return nil, err
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			s.Close()
			return nil, gaveUp(ctx)
		}
	}
}

func (ch *Channel) follow() *SharedState {
	ctx, cancel := context.WithCancel(context.Background())
	s := &SharedState{cancel: cancel, done: make(chan struct{}), changed: make(chan struct{}, 1), values: map[string]json.RawMessage{}}
	s.sub = ch.Subscribe(OnState(s.replace))
	go s.run(ctx)
	return s
}

func (s *SharedState) run(ctx context.Context) {
	defer close(s.done)
	defer s.sub.Close()
	for {
		m, err := s.sub.Next(ctx)
		s.mu.Lock()
		switch {
		case err != nil:
			s.err = err
		case m.Key == "":
		case string(m.Data) == "null":
			delete(s.values, m.Key)
		default:
			s.values[m.Key] = m.Data
		}
		s.mu.Unlock()
		s.tell()
		if err != nil {
			return
		}
	}
}

func (s *SharedState) replace(items []*Message) {
	s.mu.Lock()
	clear(s.values)
	for _, m := range items {
		if string(m.Data) != "null" {
			s.values[m.Key] = m.Data
		}
	}
	s.ready = true
	s.mu.Unlock()
	s.tell()
}

func (s *SharedState) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Changed has a value after changes; several may be one.
func (s *SharedState) Changed() <-chan struct{} { return s.changed }

// Get decodes the value of a key into v, and reports whether there is one.
func (s *SharedState) Get(key string, v any) (bool, error) {
	s.mu.Lock()
	text, ok := s.values[key]
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(text, v)
}

// Len returns how many keys there are.
func (s *SharedState) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

// All goes through a copy of what there is, in the order of the keys.
func (s *SharedState) All() iter.Seq2[string, json.RawMessage] {
	s.mu.Lock()
	values := maps.Clone(s.values)
	s.mu.Unlock()
	return func(yield func(string, json.RawMessage) bool) {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if !yield(key, values[key]) {
				return
			}
		}
	}
}

// Err returns why it is not kept up to date any more; nil while it is.
func (s *SharedState) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends it, and returns when nothing of it runs any more.
func (s *SharedState) Close() {
	s.cancel()
	<-s.done
}
