package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// maxSetBytes is how large the answer of a key source may be, decompressed.
const maxSetBytes = 64 << 10

// pace says how often a key set is fetched.
type pace struct {
	refresh time.Duration // after a success
	gap     time.Duration // at least between two fetches, once there are keys
	first   time.Duration // after the first failure while there are no keys; doubled up to gap
	overlap time.Duration // how long a key stays good after it left the set
	timeout time.Duration // of one fetch
}

var defaultPace = pace{refresh: 5 * time.Minute, gap: time.Minute, first: time.Second, overlap: 10 * time.Minute, timeout: 5 * time.Second}

// keySet keeps the keys of one URL. Its goroutine, between start and stop, alone
// fetches. What is known stays known when the source fails.
type keySet struct {
	// immutable
	url    string
	base   *http.Client // as it was given
	client http.Client  // base without redirects and cookies
	log    *slog.Logger
	pace   pace
	wake   chan struct{} // capacity 1: a fetch is asked for

	known atomic.Pointer[keyring] // never nil; swapped by the goroutine

	// guarded by mu
	mu       sync.Mutex
	live     bool          // the goroutine runs
	pending  *fetch        // asked for or under way, nil if none
	next     time.Time     // no fetch is to be asked for before
	failures int           // in a row
	cancel   func()        // ends the goroutine
	ended    chan struct{} // closed when it has ended
}

// fetch is one that tokens may wait for.
type fetch struct {
	begun bool          // the source is being asked; guarded by mu
	done  chan struct{} // closed at its end; err may be read then
	err   error
}

func newKeySet(at string, base *http.Client, log *slog.Logger, p pace) *keySet {
	s := &keySet{url: at, base: base, client: *base, log: log.With("source", address(at)), pace: p, wake: make(chan struct{}, 1)}
	s.client.Jar = nil
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.known.Store(&keyring{})
	return s
}

// start begins the first fetch. Tokens that come from now on can wait for it.
func (s *keySet) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	s.live, s.cancel, s.ended = true, cancel, make(chan struct{})
	s.begin()
	go s.run(ctx)
}

// stop ends the goroutine and waits for it until ctx is done.
func (s *keySet) stop(ctx context.Context) error {
	s.mu.Lock()
	cancel, ended := s.cancel, s.ended
	s.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("fetching keys was not ended in time: %w", ctx.Err())
	}
}

func (s *keySet) run(ctx context.Context) {
	defer close(s.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.finish(ctx.Err(), true)
			return
		case <-s.wake:
		case <-timer.C:
		}
		s.take()
		timer.Reset(s.finish(s.fetch(ctx), false))
	}
}

// take makes sure that a fetch is pending, and that the one which follows serves
// a wish that came together with the timer.
func (s *keySet) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wake:
	default:
	}
	s.begin()
	s.pending.begun = true
}

// begin makes a fetch pending. mu is held.
func (s *keySet) begin() {
	if s.pending == nil {
		s.pending = &fetch{done: make(chan struct{})}
	}
}

// finish ends the pending fetch and returns when the next is due.
func (s *keySet) finish(err error, last bool) (due time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due = s.pace.refresh
	wait := s.pace.gap
	if err == nil {
		s.failures = 0
	} else {
		s.failures++
		if len(s.known.Load().keys) == 0 {
			// Nothing can be verified: be quicker than usual, at first.
			wait = min(s.pace.first<<min(s.failures-1, 10), s.pace.gap)
		}
		due = wait
	}
	s.next = time.Now().Add(wait)
	s.live = s.live && !last
	if s.pending != nil {
		s.pending.err = err
		close(s.pending.done)
		s.pending = nil
	}
	return due
}

// answer is what ask promises.
type answer struct {
	fetch *fetch        // nil: none can be had now
	final bool          // the source is asked after ask, so that what it leaves out does not exist
	after time.Duration // if it is not final, or there is none: when to ask again
}

// ask asks for a fetch, or joins the one that is pending. There is none when
// the last one was a moment ago.
func (s *keySet) ask() answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return answer{after: s.pace.gap}
	}
	if s.pending == nil {
		if after := time.Until(s.next); after > 0 {
			return answer{after: after}
		}
		s.begin()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return answer{fetch: s.pending, final: !s.pending.begun, after: s.pace.gap}
}

// wait waits for the fetch. An error says that a token whose key is unknown even
// now cannot be judged for good: the source could not be asked, or gave its
// answer before the token came, and may have the key by now.
func (a answer) wait(ctx context.Context) error {
	if a.fetch == nil {
		return unavailable(a.after)
	}
	select {
	case <-a.fetch.done:
		if a.fetch.err != nil || !a.final {
			return unavailable(a.after)
		}
		return nil
	case <-ctx.Done():
		return unavailable(0)
	}
}

// fetch gets the set once and takes its keys over.
func (s *keySet) fetch(ctx context.Context) error {
	keys, ignored, err := s.get(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("keys for tokens could not be fetched; those that are known stay in use", "known", len(s.known.Load().keys), "error", err)
		}
		return err
	}
	old := s.known.Load()
	ring := old.merge(keys, time.Now(), s.pace.overlap)
	s.known.Store(ring)
	if len(old.keys) == 0 || len(ring.keys) != len(old.keys) {
		s.log.Info("keys for tokens fetched", "keys", len(keys), "leaving", len(ring.keys)-len(keys), "ignored", ignored)
	}
	return nil
}

func (s *keySet) get(ctx context.Context) (keys []key, ignored int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.pace.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, 0, errors.New("the URL is damaged")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		// A url.Error would show the whole URL.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, 0, fmt.Errorf("the source answered with the redirect %d, which is not followed; configure the URL that it leads to", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("the source answered with status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSetBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if len(body) > maxSetBytes {
		return nil, 0, fmt.Errorf("the answer has more than %d bytes", maxSetBytes)
	}
	return parseSet(body)
}
