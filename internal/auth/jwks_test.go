package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
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
		strange, _ := namedKey(t, "ES256", "")
		begin := time.Now()
		for i := range 10_000 {
			strange.KeyID = fmt.Sprint("strange-", i)
			if _, err := v.Token(t.Context(), sign(t, strange, ann())); err == nil {
				t.Fatal("a token of a strange key came in")
			}
			now := time.Now()
			if _, err := v.Token(t.Context(), good); err != nil || time.Since(now) != 0 {
				t.Fatalf("a good token: %v after %v", err, time.Since(now))
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

// TestRotation changes the keys of a real server again and again while tokens of
// the old and of the new ones come in all the time. None is refused.
func TestRotation(t *testing.T) {
	signers := make([]JWT, 6)
	keys := make([]string, len(signers))
	for i := range signers {
		signers[i], keys[i] = namedKey(t, []string{"ES256", "EdDSA"}[i%2], fmt.Sprint("key-", i))
	}
	var body atomic.Pointer[string]
	var fetches atomic.Int32
	publish := func(s string) { body.Store(&s) }
	publish(jwks(keys[0]))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		fmt.Fprint(w, *body.Load())
	}))
	defer server.Close()
	quick := pace{refresh: time.Hour, gap: time.Millisecond, first: time.Millisecond, overlap: time.Hour, timeout: 5 * time.Second}
	v, err := newVerifier(Options{JWT: []JWT{{JWKS: server.URL}}, Logger: discard()}, quick)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer v.Stop(t.Context())
	if _, err := v.Token(t.Context(), long(t, signers[0])); err != nil {
		t.Fatal(err)
	}

	var current atomic.Int32
	stop := make(chan struct{})
	var done, judged atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				newest := int(current.Load())
				_, err := v.Token(t.Context(), long(t, signers[newest-i%(min(newest, 2)+1)]))
				// Within the gap a new key cannot be asked for: come back.
				if err != nil && code(t, err) != protocol.CodeUnavailable {
					t.Errorf("a good token was refused: %v", err)
				}
				if err == nil {
					done.Add(1)
				}
				judged.Add(1)
			}
		})
	}
	for i := 1; i < len(keys); i++ {
		// Some sources keep the old key for a while, others swap at once.
		if i%2 == 0 {
			publish(jwks(keys[i-1], keys[i]))
		} else {
			publish(jwks(keys[i]))
		}
		current.Store(int32(i))
		for {
			_, err := v.Token(t.Context(), long(t, signers[i]))
			if err == nil {
				break
			}
			if code(t, err) != protocol.CodeUnavailable {
				t.Fatalf("the new key: %v", err)
			}
			time.Sleep(time.Millisecond)
		}
		for seen := done.Load(); done.Load() < seen+100; {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	wg.Wait()
	// How often a token had to come back depends on the machine; that most need
	// not is what the gap of a minute makes sure of in earnest.
	if n := fetches.Load(); n < int32(len(keys)) {
		t.Errorf("%d fetches for %d sets", n, len(keys))
	}
	t.Logf("%d of %d tokens accepted at once, %d fetches", done.Load(), judged.Load(), fetches.Load())
}

// TestFetchIsCareful runs against real answers that a source should not give.
func TestFetchIsCareful(t *testing.T) {
	k, key := namedKey(t, "ES256", "1")
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the redirect was followed")
		fmt.Fprint(w, jwks(key))
	}))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirect"},
		"404":      {http.NotFound, "status 404"},
		"201":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); fmt.Fprint(w, jwks(key)) }, "status 201"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}, "65536 bytes"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, "not a JWK set"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			var log bytes.Buffer
			address := server.URL + "/jwks?api_key=canary-in-the-url"
			v, err := New(Options{JWT: []JWT{{JWKS: address}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			token := long(t, k)
			_, err = v.Token(t.Context(), token)
			if code(t, err) != protocol.CodeUnavailable {
				t.Error(err)
			}
			if err := v.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if !strings.Contains(log.String(), c.want) {
				t.Errorf("the log does not say %q: %s", c.want, &log)
			}
			if strings.Contains(log.String(), "canary") || strings.Contains(err.Error(), "canary") {
				t.Errorf("the URL is in the log: %s", &log)
			}
			quotesNothing(t, "log", log.String(), token)
		})
	}
	// A refused connection comes with the URL in the error of net/http.
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	var log bytes.Buffer
	s := newKeySet(server.URL+"?canary", defaultClient, slog.New(slog.NewTextHandler(&log, nil)), defaultPace)
	if s.fetch(t.Context()) == nil || strings.Contains(log.String(), "canary") || !strings.Contains(log.String(), "refused") {
		t.Errorf("the log of a refused connection: %s", &log)
	}
}
