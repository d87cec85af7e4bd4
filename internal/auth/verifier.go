package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Verifier judges tokens and keys. All methods are safe for concurrent use.
type Verifier struct {
	state atomic.Pointer[state]
	pace  pace // immutable

	mu    sync.Mutex         // serialises Start, Stop and Reload, and guards:
	sets  map[string]*keySet // in use, by URL
	phase phase
}

type phase int

const (
	idle phase = iota
	running
	stopped
)

// state is everything that Options say, immutable and swapped whole.
type state struct {
	issuers []*issuer
	keys    [][sha256.Size]byte
}

// New checks o and returns a Verifier. Tokens signed with a key from a URL are
// not accepted before Start; everything else works at once. An error joins an
// *OptionError for each problem.
func New(o Options) (*Verifier, error) {
	return newVerifier(o, defaultPace)
}

func newVerifier(o Options, p pace) (*Verifier, error) {
	v := &Verifier{pace: p, sets: map[string]*keySet{}}
	s, sets, err := v.compile(o)
	if err != nil {
		return nil, err
	}
	v.sets = sets
	v.state.Store(s)
	return v, nil
}

// compile makes a state and lists the key sets that it needs, taking over those
// that are in use. It changes nothing.
func (v *Verifier) compile(o Options) (*state, map[string]*keySet, error) {
	now, log, client := o.Now, o.Logger, o.HTTP
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.Default()
	}
	if client == nil {
		client = defaultClient
	}
	var p problems
	s, sets := &state{}, map[string]*keySet{}
	source := func(url string) *keySet {
		if sets[url] == nil {
			if old := v.sets[url]; old != nil && old.base == client {
				sets[url] = old
			} else {
				sets[url] = newKeySet(url, client, log, v.pace)
			}
		}
		return sets[url]
	}
	for i, j := range o.JWT {
		s.issuers = append(s.issuers, newIssuer(fmt.Sprintf("jwt[%d]", i), j, now, source, &p))
	}
	for i, k := range o.Keys {
		if e := verifyKey(k); e != nil {
			p.add(fmt.Sprintf("keys[%d]", i), e.What, e.Remedy)
		}
		s.keys = append(s.keys, sha256.Sum256([]byte(k)))
	}
	return s, sets, p.err()
}

// Start begins to fetch key sets, and does not wait for them: a token that needs
// one does. It never fails but on a Verifier that was started before.
func (v *Verifier) Start(context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase != idle {
		return errors.New("auth: a Verifier can be started only once")
	}
	v.phase = running
	for _, s := range v.sets {
		s.start()
	}
	return nil
}

// Stop ends fetching, and waits for it until ctx is done. Keys that are known
// stay known. Stopping twice, or before Start, does nothing.
func (v *Verifier) Stop(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.phase = stopped
	var errs []error
	for _, s := range v.sets {
		errs = append(errs, s.stop(ctx))
	}
	return errors.Join(errs...)
}

// Reload puts o in the place of the options in force, at once and for every
// token and key that is judged from now on; if o is bad, nothing changes. Key
// sets whose URL stays keep their keys.
func (v *Verifier) Reload(o Options) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, sets, err := v.compile(o)
	if err != nil {
		return err
	}
	if v.phase == running {
		for url, set := range sets {
			if v.sets[url] != set {
				set.start()
			}
		}
	}
	old := v.sets
	v.sets = sets
	v.state.Store(s)
	for url, set := range old {
		if sets[url] != set {
			// A fetch ends as soon as it is cancelled, so this takes no time.
			_ = set.stop(context.Background())
		}
	}
	return nil
}

// Empty reports whether there is no way to verify a token.
func (v *Verifier) Empty() bool { return len(v.state.Load().issuers) == 0 }

// Key reports whether presented is one of the server keys. The time it takes
// depends on the length of presented only.
func (v *Verifier) Key(presented string) bool {
	hash := sha256.Sum256([]byte(presented))
	found := 0
	for _, k := range v.state.Load().keys {
		found |= subtle.ConstantTimeCompare(hash[:], k[:])
	}
	return found == 1
}

// Token judges a token. An error is a *protocol.Error: unauthorized, for which
// IsExpired tells the case of an expired one, or unavailable if the key that the
// token names cannot be asked for right now. It never holds the token.
//
// Only a token that names a key that is not known, where keys come from a URL,
// waits for the network, until ctx is done and a few seconds at most.
func (v *Verifier) Token(ctx context.Context, s string) (*Identity, error) {
	t, err := parseToken(s)
	if err != nil {
		return nil, err
	}
	now := v.state.Load()
	if len(now.issuers) == 0 {
		return nil, errNothing
	}
	who, unknown, err := now.judge(t, now.issuers)
	if len(unknown) == 0 {
		return who, err
	}
	// Ask all sources at once, then see what they brought.
	asked := make([]answer, len(unknown))
	for i := range unknown {
		asked[i] = unknown[i].set.ask()
	}
	var later error
	for _, a := range asked {
		if e := a.wait(ctx); e != nil {
			later = e
		}
	}
	who, unknown, err = now.judge(t, unknown)
	if len(unknown) > 0 && later != nil {
		return nil, later
	}
	return who, err
}

// judge tries t with all keys of the issuers that are known. If none fits, it
// returns the issuers whose source may be asked about the key that t names.
func (s *state) judge(t *token, issuers []*issuer) (*Identity, []*issuer, error) {
	var unknown []*issuer
	var claims error // why a token is refused whose signature is good: nothing else matters then
	refusal, named := error(errAlgorithm), false
	for _, i := range issuers {
		who, verified, err := i.try(t)
		switch {
		case err == nil:
			return who, nil, nil
		case verified:
			if claims == nil {
				claims = err
			}
		case errors.Is(err, errKeyID) && i.set != nil:
			unknown = append(unknown, i)
			refusal = err
		case errors.Is(refusal, errAlgorithm):
			refusal = err
		}
		named = named || i.names(t)
	}
	switch {
	case claims != nil:
		return nil, nil, claims
	case named:
		return nil, nil, errSignature
	}
	return nil, unknown, refusal
}

// defaultClient fetches rarely, so it keeps no connection.
var defaultClient = &http.Client{Transport: func() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	t.MaxResponseHeaderBytes = 16 << 10
	return t
}()}
