package auth

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/protocol"
)

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
