package auth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/protocol"
)

// TestSeveralIssuers has entries that differ in key, audience and claim.
func TestSeveralIssuers(t *testing.T) {
	a, _ := keysFor(t, "HS256")
	b, _ := keysFor(t, "HS256")
	es, esPublic := keysFor(t, "ES256")
	app, shop, mail := a, a, b
	app.Audience, shop.Audience, shop.UserClaim = "app", "shop", "email"
	mail.KeyID = "mail"
	v := verifier(t, app, shop, mail, esPublic)
	for name, c := range map[string]struct {
		key    JWT
		claims map[string]any
		user   string
		err    error
	}{
		"the first of two audiences":  {a, map[string]any{"sub": "1", "email": "e", "aud": "app"}, "1", nil},
		"the second of two audiences": {a, map[string]any{"sub": "1", "email": "e", "aud": "shop"}, "e", nil},
		"both":                        {a, map[string]any{"sub": "1", "email": "e", "aud": []string{"shop", "app"}}, "1", nil},
		"neither":                     {a, map[string]any{"sub": "1", "aud": "mail"}, "", errAudience},
		"another secret":              {mail, map[string]any{"sub": "1"}, "1", nil},
		"the same without its name":   {b, map[string]any{"sub": "1"}, "1", nil},
		"the secret of another name":  {JWT{Secret: a.Secret, KeyID: "mail"}, map[string]any{"sub": "1", "aud": "app"}, "1", nil},
		"another algorithm":           {es, map[string]any{"sub": "1"}, "1", nil},
	} {
		c.claims["exp"] = inAnHour()
		who, err := v.Token(t.Context(), sign(t, c.key, c.claims))
		if !errors.Is(err, c.err) || err == nil && who.User != c.user {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	if _, err := v.Token(t.Context(), forge(t, "HS256", JWT{Secret: b.Secret}, `{"alg":"HS256","kid":"other"}`, `{}`)); !errors.Is(err, errKeyID) && !errors.Is(err, errSignature) {
		t.Errorf("the secret of one entry under an unknown name: %v", err)
	}
}

// TestReload swaps keys while tokens are judged, and has neither a moment
// without keys nor one with half of them.
func TestReload(t *testing.T) {
	a, _ := keysFor(t, "HS256")
	b, _ := keysFor(t, "HS256")
	keyA, keyB := NewSecret(), NewSecret()
	first := Options{JWT: []JWT{a}, Keys: []string{keyA}, HTTP: noNetwork(t)}
	second := Options{JWT: []JWT{b}, Keys: []string{keyB}, HTTP: noNetwork(t)}
	v, err := New(first)
	if err != nil {
		t.Fatal(err)
	}
	tokenA, tokenB := sign(t, a, ann()), sign(t, b, ann())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, errA := v.Token(t.Context(), tokenA)
				_, errB := v.Token(t.Context(), tokenB)
				_, _ = v.Key(keyA), v.Empty()
				for _, err := range []error{errA, errB} {
					if err != nil && !errors.Is(err, errSignature) {
						t.Errorf("in the middle of a reload: %v", err)
					}
				}
			}
		})
	}
	for i := range 200 {
		o := first
		if i%2 == 0 {
			o = second
		}
		if err := v.Reload(o); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if err := v.Reload(Options{JWT: []JWT{{}}}); err == nil {
		t.Error("bad options were taken")
	}
	if _, err := v.Token(t.Context(), tokenA); err != nil || !v.Key(keyA) || v.Key(keyB) {
		t.Errorf("a bad reload changed something: %v", err)
	}
}

// TestReloadOfSources keeps the keys of a source that stays, begins to ask a new
// one, and stops asking one that has gone.
func TestReloadOfSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, key1 := namedKey(t, "ES256", "1")
		k2, key2 := namedKey(t, "ES256", "2")
		one, two := &source{body: jwks(key1)}, &source{body: jwks(key2), delay: time.Second}
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "one.example" {
				return one.RoundTrip(r)
			}
			return two.RoundTrip(r)
		})}
		with := func(hosts ...string) Options {
			o := Options{HTTP: client, Logger: discard()}
			for _, h := range hosts {
				o.JWT = append(o.JWT, JWT{JWKS: "https://" + h + ".example/"})
			}
			return o
		}
		v, err := New(with("one"))
		if err != nil {
			t.Fatal(err)
		}
		is := func(k JWT, want error) {
			t.Helper()
			if _, err := v.Token(t.Context(), long(t, k)); !errors.Is(err, want) {
				t.Errorf("key %s: %v", k.KeyID, err)
			}
		}
		if err := v.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(k1, nil)
		if err := v.Reload(with("one", "two")); err != nil {
			t.Fatal(err)
		}
		is(k1, nil)
		is(k2, nil) // waits for the first fetch of the new source
		if one.count() != 1 || two.count() != 1 {
			t.Errorf("asked %d and %d times", one.count(), two.count())
		}
		if err := v.Reload(with("two")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		is(k1, errKeyID)
		asked := one.count()
		time.Sleep(time.Hour)
		if one.count() != asked {
			t.Error("a source that has gone is asked")
		}
		is(k2, nil)
		if err := v.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := v.Reload(with("one", "two")); err != nil {
			t.Error(err)
		}
		is(k2, nil) // known keys stay
		if _, err := v.Token(t.Context(), long(t, k1)); code(t, err) != protocol.CodeUnavailable {
			t.Error(err)
		}
	})
}

// TestStop ends a fetch that is under way, and those who wait for it.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key := namedKey(t, "ES256", "1")
		s := &source{body: jwks(key), delay: 4 * time.Second}
		v, err := New(Options{JWT: []JWT{{JWKS: setURL}}, HTTP: &http.Client{Transport: s}, Logger: discard()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Token(t.Context(), long(t, k)); code(t, err) != protocol.CodeUnavailable {
			t.Errorf("before Start: %v", err)
		}
		if err := v.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v.Start(t.Context()) == nil {
			t.Error("started twice")
		}
		done := make(chan error)
		go func() {
			_, err := v.Token(t.Context(), long(t, k))
			done <- err
		}()
		synctest.Wait()
		begin := time.Now()
		if err := v.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if code(t, <-done) != protocol.CodeUnavailable || time.Since(begin) != 0 {
			t.Errorf("stopping took %v", time.Since(begin))
		}
		if err := v.Stop(t.Context()); err != nil {
			t.Errorf("the second Stop: %v", err)
		}
		if v.Start(t.Context()) == nil {
			t.Error("started after Stop")
		}
	})
}

// TestStopIsBounded stops while the network does not heed its context.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := New(Options{JWT: []JWT{{JWKS: setURL}}, Logger: discard(), HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Minute)
			return nil, errDown
		})}})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := v.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := v.Stop(t.Context()); err != nil {
			t.Errorf("stopping again, with more time: %v", err)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		private, public := keysFor(b, algorithm)
		public.Audience, public.Issuer = "shop", "https://id.example"
		private.Audience, private.Issuer = public.Audience, public.Issuer
		v := verifier(b, public)
		claims := ann()
		claims["rooms"] = []string{"lobby", "garden"}
		token := sign(b, private, claims)
		b.Run(algorithm, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Token(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTokenRefused(b *testing.B) {
	k, _ := keysFor(b, "HS256")
	v := verifier(b, k)
	other, _ := keysFor(b, "HS256")
	token := sign(b, other, ann())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Token(b.Context(), token); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkOrigin(b *testing.B) {
	o, err := ParseOrigins([]string{"https://shop.example", "https://admin.shop.example"})
	if err != nil {
		b.Fatal(err)
	}
	r := request("api.shop.example", true, "https://shop.example")
	b.ReportAllocs()
	for b.Loop() {
		if !o.Allow(r) {
			b.Fatal("refused")
		}
	}
}
