package shop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// desk sends requests to a shop's routes.
type desk struct {
	t   *testing.T
	s   *Shop
	mux *http.ServeMux
}

func newDesk(t *testing.T) *desk {
	s, _ := newShop(t)
	d := &desk{t: t, s: s, mux: http.NewServeMux()}
	s.Routes(d.mux)
	return d
}

// token is "" for a stranger, "key" for the API key, or a user's name.
func (d *desk) send(method, path, user, body string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	switch user {
	case "":
	case "key":
		r.Header.Set("Authorization", "Bearer "+testKey)
	default:
		token, err := d.s.gate.Token(user)
		if err != nil {
			d.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	d := newDesk(t)
	collar := `{"lines":[{"product":"bell-collar","quantity":1}]}`
	tests := []struct {
		method, path, user, body string
		status                   int
		contains                 string
	}{
		{"GET", "/shop/products", "", "", 200, `"price":1450`},
		{"GET", "/shop/inventory", "", "", 200, `{"product":"bell-collar","count":24}`},
		{"GET", "/shop/orders", "", "", 401, `"code":"unauthorized"`},
		{"POST", "/shop/orders", "", collar, 401, `"status":401`},
		{"GET", "/shop/orders", "ann", "", 200, `{"orders":[]}`},
		{"POST", "/shop/orders", "ann", collar, 201, `"customer":"ann"`},
		{"POST", "/shop/orders", "key", `{"customer":"ben",` + collar[1:], 201, `"customer":"ben"`},
		{"GET", "/shop/orders", "ben", "", 200, `"id":2`},
		{"GET", "/shop/orders", "key", "", 200, `"id":1`},
		{"GET", "/shop/orders?limit=1&before=2", "staff", "", 200, `"id":1`},
		{"GET", "/shop/orders?limit=0", "ann", "", 400, "limit is 1 to 200"},
		{"GET", "/shop/orders?before=x", "ann", "", 400, "before is the id"},
		{"GET", "/shop/orders/1", "ann", "", 200, `"status":"created"`},
		{"GET", "/shop/orders/1", "ben", "", 404, `"code":"not_found"`},
		{"GET", "/shop/orders/one", "ann", "", 400, "is a number"},
		{"POST", "/shop/orders", "ann", `{"lines":[{"product":"sun-lamp","quantity":9}]}`, 409, `"product":"sun-lamp"`},
		{"POST", "/shop/orders", "ann", `{"lines":`, 400, "bad_request"},
		{"POST", "/shop/orders", "ann", ``, 400, "the body is empty"},
		{"POST", "/shop/orders", "ann", collar + collar, 400, "one JSON value"},
		{"POST", "/shop/orders", "ann", `{"liens":[]}`, 400, "liens"},
		{"POST", "/shop/orders", "ann", `{"note":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too_large"},
		{"PATCH", "/shop/orders/1", "ann", `{"status":"paid"}`, 200, `"version":2`},
		{"PATCH", "/shop/orders/1", "ben", `{"status":"cancelled"}`, 404, "not_found"},
		{"POST", "/shop/orders/1/ship", "ann", "", 403, "forbidden"},
		{"POST", "/shop/orders/1/ship", "staff-amy", "", 200, `"status":"shipped"`},
		{"POST", "/shop/orders/1/ship", "key", "", 409, "conflict"},
		{"POST", "/shop/orders/77/ship", "key", "", 404, "not_found"},
		{"PUT", "/shop/inventory/sun-lamp", "ann", `{"count":3}`, 403, "forbidden"},
		{"PUT", "/shop/inventory/sun-lamp", "staff", `{"count":3}`, 200, `"count":3`},
		{"PUT", "/shop/inventory/sun-lamp", "staff", `{}`, 400, "say how many"},
		{"PUT", "/shop/inventory/dragon", "staff", `{"count":3}`, 404, "not_found"},
		{"GET", "/shop/", "", "", 200, "<h1"},
		{"GET", "/shop/staff", "", "", 200, "At the counter"},
		{"GET", "/shop/pictures/sun-lamp.svg", "", "", 200, "<svg"},
		{"GET", "/shop/nothing", "", "", 404, "not_found"},
		{"DELETE", "/shop/orders/1", "key", "", 404, "not_found"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %s as %s", test.method, test.path, test.user), func(t *testing.T) {
			w := d.send(test.method, test.path, test.user, test.body)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.contains) {
				t.Errorf("answered %d %.300s, want %d with %s", w.Code, w.Body, test.status, test.contains)
			}
			if kind := w.Header().Get("Content-Type"); w.Code >= 400 && kind != "application/problem+json" {
				t.Errorf("the problem came as %q", kind)
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	d := newDesk(t)
	var places []string
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		r := httptest.NewRequest("POST", "/shop/orders", strings.NewReader(`{"lines":[{"product":"sun-lamp","quantity":1}]}`))
		r.Header.Set("Authorization", "Bearer "+testKey)
		r.Header.Set("Idempotency-Key", "once")
		w := httptest.NewRecorder()
		d.mux.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("answered %d, want %d", w.Code, want)
		}
		places = append(places, w.Header().Get("Location"))
	}
	if places[0] != "/shop/orders/1" || places[1] != places[0] {
		t.Errorf("the order is at %q", places)
	}
}

// Whatever is asked for, the answer is an order or a refusal, and the stock
// never falls below nothing.
func FuzzPostOrder(f *testing.F) {
	for _, seed := range []string{
		`{"lines":[{"product":"bell-collar","quantity":1}]}`,
		`{"lines":[{"product":"sun-lamp","quantity":99}],"note":"x","reference":"r"}`,
		`{"lines":[{"product":"sun-lamp","quantity":1e9}]}`, `{"lines":null}`, `[]`, `{"customer":"\u0000"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		d := newDesk(t)
		w := d.send("POST", "/shop/orders", "key", body)
		if w.Code != http.StatusCreated && (w.Code < 400 || w.Code > 499) {
			t.Errorf("answered %d %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("the answer is not JSON: %q", w.Body)
		}
		for _, p := range catalogue {
			if left := stockOf(t, d.s, p.ID); left < 0 || left > p.opening {
				t.Errorf("%d of %s left of %d", left, p.ID, p.opening)
			}
		}
	})
}
