package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/protocol"
)

// source is a JWKS server that is a function of the test, for bubbles where
// nothing real may be waited for.
type source struct {
	mu    sync.Mutex
	body  string
	fail  error
	delay time.Duration
	asked []time.Time
}

func (s *source) set(body string, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.fail = body, fail
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *source) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	body, fail, delay := s.body, s.fail, s.delay
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if fail != nil {
		return nil, fail
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

const setURL = "https://id.example/jwks.json"

var errDown = errors.New("the source is down")

// started returns a running verifier of tokens with keys from s.
func started(t *testing.T, s *source) *Verifier {
	t.Helper()
	v, err := New(Options{JWT: []JWT{{JWKS: setURL}}, HTTP: &http.Client{Transport: s}, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return v
}

func namedKey(t testing.TB, algorithm, kid string) (signer JWT, key string) {
	t.Helper()
	signer, _ = keysFor(t, algorithm)
	signer.KeyID = kid
	return signer, jwk(t, kid, signer)
}

// long signs a token that outlives what a test makes time do.
func long(t testing.TB, k JWT) string {
	return sign(t, k, map[string]any{"sub": "ann", "exp": time.Now().Add(100 * time.Hour).Unix()})
}

func TestFirstTokensWaitForTheFirstFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key := namedKey(t, "ES256", "1")
		s := &source{body: jwks(key), delay: 2 * time.Second}
		v := started(t, s)
		var wg sync.WaitGroup
		token := long(t, k)
		for range 100 {
			wg.Go(func() {
				if _, err := v.Token(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if s.count() != 1 {
			t.Errorf("%d fetches for the first tokens", s.count())
		}
	})
}

func TestTokensDoNotWaitLongerThanTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key := namedKey(t, "ES256", "1")
		v := started(t, &source{body: jwks(key), delay: 4 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := v.Token(ctx, long(t, k))
		if code(t, err) != protocol.CodeUnavailable || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// TestUnknownKeys sends 10,000 tokens with keys that nobody knows, over an hour
// in which the source is asked at most once a minute, and no good token waits.
func TestUnknownKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key := namedKey(t, "ES256", "1")
		s := &source{body: jwks(key), delay: 100 * time.Millisecond}
		v := started(t, s)
		good := long(t, k)
		if _, err := v.Token(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		rest := good[strings.IndexByte(good, '.'):] // the signature is never reached
		begin := time.Now()
		for i := range 10_000 {
			if _, err := v.Token(t.Context(), encode(fmt.Sprintf(`{"alg":"ES256","kid":"strange-%d"}`, i))+rest); err == nil {
				t.Fatal("a token of a strange key came in")
			}
			if i%50 == 0 {
				now := time.Now()
				if _, err := v.Token(t.Context(), good); err != nil || time.Since(now) != 0 {
					t.Fatalf("a good token: %v after %v", err, time.Since(now))
				}
			}
			time.Sleep(360 * time.Millisecond)
		}
		minutes := int(time.Since(begin)/time.Minute) + 1
		if n := s.count(); n > minutes || n < minutes-5 {
			t.Errorf("%d fetches in %d minutes", n, minutes)
		}
		for i := 1; i < len(s.asked); i++ {
			if gap := s.asked[i].Sub(s.asked[i-1]); gap < time.Minute {
				t.Fatalf("two fetches %v apart", gap)
			}
		}
	})
}

// TestUnknownKeyIsAnswered tells for good that a key is unknown only after the
// source was asked, and otherwise when to come back.
func TestUnknownKeyIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, key1 := namedKey(t, "ES256", "1")
		k2, key2 := namedKey(t, "RS256", "2")
		s := &source{body: jwks(key1)}
		v := started(t, s)
		if _, err := v.Token(t.Context(), long(t, k1)); err != nil {
			t.Fatal(err)
		}
		s.set(jwks(key1, key2), nil)
		time.Sleep(20 * time.Second)
		_, err := v.Token(t.Context(), long(t, k2))
		e, ok := errors.AsType[*protocol.Error](err)
		if !ok || e.Code != protocol.CodeUnavailable || !e.Retryable || e.RetryAfter != 40*time.Second {
			t.Fatalf("within the minute: %#v", err)
		}
		time.Sleep(e.RetryAfter)
		if _, err := v.Token(t.Context(), long(t, k2)); err != nil {
			t.Errorf("after the minute: %v", err)
		}
		time.Sleep(time.Minute)
		k2.KeyID = "3"
		if _, err := v.Token(t.Context(), long(t, k2)); !errors.Is(err, errKeyID) {
			t.Errorf("a key that is not in the set: %v", err)
		}
	})
}

// TestOutage takes the source away for ten minutes and longer.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, key1 := namedKey(t, "ES256", "1")
		k2, key2 := namedKey(t, "ES256", "2")
		s := &source{body: jwks(key1)}
		v := started(t, s)
		old := long(t, k1)
		if _, err := v.Token(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		for name, down := range map[string]func(){
			"no answer":      func() { s.set("", errDown) },
			"an error page":  func() { s.set("<html>502</html>", nil) },
			"an empty set":   func() { s.set(`{"keys":[]}`, nil) },
			"nothing usable": func() { s.set(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"1"}]}`, nil) },
			"too much":       func() { s.set(jwks(key1)+strings.Repeat(" ", maxSetBytes), nil) },
		} {
			down()
			before := s.count()
			for range 60 {
				time.Sleep(10 * time.Second)
				if _, err := v.Token(t.Context(), old); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if _, err := v.Token(t.Context(), long(t, k2)); code(t, err) != protocol.CodeUnavailable {
					t.Fatalf("%s: a token that cannot be judged: %v", name, err)
				}
			}
			if n := s.count() - before; n > 11 {
				t.Errorf("%s: %d fetches in 10 minutes", name, n)
			}
		}
		s.set(jwks(key1, key2), nil)
		time.Sleep(time.Minute)
		if _, err := v.Token(t.Context(), long(t, k2)); err != nil {
			t.Errorf("the source is back, and: %v", err)
		}
	})
}

// TestStartWithoutSource starts while the source is down: good tokens are put
// off and not refused, and come in soon after it is back.
func TestStartWithoutSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key := namedKey(t, "ES256", "1")
		s := &source{fail: errDown}
		v := started(t, s)
		for range 10 {
			if _, err := v.Token(t.Context(), long(t, k)); code(t, err) != protocol.CodeUnavailable {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := s.count(); n != 4 { // at 0, 1, 3 and 7 s
			t.Errorf("%d fetches in the first 10 s", n)
		}
		s.set(jwks(key), nil)
		time.Sleep(6 * time.Second)
		if _, err := v.Token(t.Context(), long(t, k)); err != nil {
			t.Error(err)
		}
		s.set("", errDown)
		time.Sleep(time.Hour)
		if n := s.count(); n > 5+61 {
			t.Errorf("%d fetches in an hour without the source", n)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key := namedKey(t, "ES256", "1")
		v := started(t, &source{body: jwks(key), delay: time.Hour})
		begin := time.Now()
		if _, err := v.Token(t.Context(), long(t, k)); code(t, err) != protocol.CodeUnavailable {
			t.Error(err)
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("a source that is silent was waited for %v", d)
		}
	})
}

// TestOverlap lets a key go and come back.
func TestOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, key1 := namedKey(t, "ES256", "1")
		k2, key2 := namedKey(t, "EdDSA", "2")
		s := &source{body: jwks(key1)}
		v := started(t, s)
		is := func(when string, k JWT, want bool) {
			t.Helper()
			if _, err := v.Token(t.Context(), long(t, k)); (err == nil) != want {
				t.Errorf("%s, key %s: %v", when, k.KeyID, err)
			}
		}
		is("at first", k1, true)
		s.set(jwks(key2), nil)
		time.Sleep(5*time.Minute + time.Second) // the next fetch
		is("in the overlap", k1, true)
		is("in the overlap", k2, true)
		s.set("", errDown) // the overlap ends also without a fetch
		time.Sleep(10*time.Minute - 2*time.Second)
		is("at the end of the overlap", k1, true)
		time.Sleep(2 * time.Second)
		is("after the overlap", k1, false)
		is("after the overlap", k2, true)
		s.set(jwks(key1, key2), nil)
		time.Sleep(5*time.Minute + time.Second)
		is("back again", k1, true)
		// Another key under the same name: for a while both are good.
		other, again := namedKey(t, "ES256", "1")
		s.set(jwks(again, key2), nil)
		time.Sleep(5*time.Minute + time.Second)
		is("the name was used again", k1, true)
		is("the name was used again", other, true)
		time.Sleep(10 * time.Minute)
		is("only the new one is left", k1, false)
		is("only the new one is left", other, true)
	})
}

// TestTwoSources asks both at once, and a token of one does not wait for the
// other.
func TestTwoSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, key1 := namedKey(t, "ES256", "1")
		k2, key2 := namedKey(t, "ES256", "2")
		fast, slow := &source{body: jwks(key1)}, &source{body: jwks(key2), delay: 4 * time.Second}
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "fast.example" {
				return fast.RoundTrip(r)
			}
			return slow.RoundTrip(r)
		})}
		v, err := New(Options{JWT: []JWT{{JWKS: "https://slow.example/"}, {JWKS: "https://fast.example/"}}, HTTP: client, Logger: discard()})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer v.Stop(t.Context())
		synctest.Wait()
		begin := time.Now()
		if _, err := v.Token(t.Context(), long(t, k1)); err != nil || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if _, err := v.Token(t.Context(), long(t, k2)); err != nil {
			t.Error(err)
		}
	})
}
