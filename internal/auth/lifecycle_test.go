package auth

import (
	"net/http"
	"testing"

	"ringdown/internal/lifecycle"
	"ringdown/internal/lifecycle/lifecycletest"
)

func TestLifecycle(t *testing.T) {
	_, key := namedKey(t, "ES256", "1")
	lifecycletest.Stress(t, func(t testing.TB) lifecycle.Service {
		v, err := New(Options{JWT: []JWT{{JWKS: setURL}}, Logger: discard(), HTTP: &http.Client{Transport: &source{body: jwks(key)}}})
		if err != nil {
			t.Fatal(err)
		}
		return v
	})
}
