package auth

import (
	"maps"
	"testing"
	"time"
)

// TestClocks sets the clocks of who signs and who verifies apart.
func TestClocks(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	far := at(time.Hour)
	for _, c := range []struct {
		name   string
		leeway time.Duration
		claims map[string]any
		want   error
	}{
		{"good", 0, map[string]any{"exp": far, "nbf": at(0), "iat": at(0)}, nil},
		{"issued by a clock 20 s ahead", 0, map[string]any{"exp": far, "nbf": at(20 * time.Second), "iat": at(20 * time.Second)}, nil},
		{"issued by a clock 30 s ahead", 0, map[string]any{"exp": far, "nbf": at(30 * time.Second), "iat": at(30 * time.Second)}, nil},
		{"nbf 31 s ahead", 0, map[string]any{"exp": far, "nbf": at(31 * time.Second)}, errNotYet},
		{"nbf 60 s ahead", 0, map[string]any{"exp": far, "nbf": at(time.Minute)}, errNotYet},
		{"iat 31 s ahead", 0, map[string]any{"exp": far, "iat": at(31 * time.Second)}, errFuture},
		{"expired 20 s ago", 0, map[string]any{"exp": at(-20 * time.Second)}, nil},
		{"expired 29 s ago", 0, map[string]any{"exp": at(-29 * time.Second)}, nil},
		{"expired 30 s ago", 0, map[string]any{"exp": at(-30 * time.Second)}, ErrExpired},
		{"expired 60 s ago", 0, map[string]any{"exp": at(-time.Minute)}, ErrExpired},
		{"expires this second, no leeway", -1, map[string]any{"exp": at(0)}, ErrExpired},
		{"expires next second, no leeway", -1, map[string]any{"exp": at(time.Second)}, nil},
		{"nbf next second, no leeway", -1, map[string]any{"exp": far, "nbf": at(time.Second)}, errNotYet},
		{"expired 9 s ago, leeway 10 s", 10 * time.Second, map[string]any{"exp": at(-9 * time.Second)}, nil},
		{"expired 10 s ago, leeway 10 s", 10 * time.Second, map[string]any{"exp": at(-10 * time.Second)}, ErrExpired},
		{"exp with a fraction", 0, map[string]any{"exp": float64(far) + 0.25, "iat": float64(at(0)) + 0.75}, nil},
		{"exp with a fraction, over", -1, map[string]any{"exp": float64(at(0)) + 0.75}, ErrExpired},
		{"end of the year 9999", 0, map[string]any{"exp": int64(maxDate)}, nil},
		// Why not yet, or for whom, is told before that it is over: a new token
		// would not help.
		{"expired and for somebody else", 0, map[string]any{"exp": at(-time.Hour), "aud": "other"}, errAudience},
		{"not yet, then over", 0, map[string]any{"exp": at(-time.Hour), "nbf": far}, errNotYet},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, _ := keysFor(t, "HS256")
			k.Audience, k.Leeway = "shop", c.leeway
			v, err := New(Options{JWT: []JWT{k}, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			claims := map[string]any{"sub": "ann"}
			maps.Copy(claims, c.claims)
			who, err := v.Token(t.Context(), sign(t, k, claims))
			if err != c.want {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if IsExpired(err) != (c.want == ErrExpired) {
				t.Errorf("IsExpired is %t", IsExpired(err))
			}
			if f, ok := c.claims["exp"].(int64); ok && err == nil && who.Expires.Unix() != f {
				t.Errorf("expires %v", who.Expires)
			}
		})
	}
}
