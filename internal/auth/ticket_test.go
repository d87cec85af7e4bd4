package auth

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/protocol"
)

var annie = &Identity{User: "ann"}

// TestTicketOnce (C03): of many uses at once exactly one succeeds, and none after it.
func TestTicketOnce(t *testing.T) {
	var tickets Tickets
	for range 100 {
		text, _, err := tickets.Issue(annie, "https://shop.example")
		if err != nil {
			t.Fatal(err)
		}
		var good atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if who, err := tickets.Redeem(text, "https://shop.example"); err == nil && who == annie {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if _, err := tickets.Redeem(text, "https://shop.example"); err == nil || good.Load() != 1 {
			t.Fatalf("%d successes, and then %v", good.Load(), err)
		}
	}
}

// TestTicketOrigin: another origin neither passes nor uses it up; who sends none
// is no page of another origin.
func TestTicketOrigin(t *testing.T) {
	var tickets Tickets
	for _, c := range []struct {
		given, used string
		good        bool
	}{
		{"https://shop.example", "https://shop.example", true},
		{"https://shop.example", "", true},
		{"", "https://shop.example", true},
		{"https://shop.example", "https://evil.example", false},
		{"https://shop.example", "null", false},
		{"https://shop.example", "http://shop.example", false},
	} {
		text, _, err := tickets.Issue(annie, c.given)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tickets.Redeem(text, c.used); (err == nil) != c.good {
			t.Errorf("given to %q, used by %q: %v", c.given, c.used, err)
		}
		if _, err := tickets.Redeem(text, c.given); (err == nil) == c.good {
			t.Errorf("given to %q, used by %q before: %v", c.given, c.used, err)
		}
	}
}

// TestTicketEnds: with its 30 seconds, or with the token.
func TestTicketEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tickets Tickets
		short := &Identity{User: "bob", Expires: time.Now().Add(10 * time.Second)}
		issue := func(who *Identity, want time.Duration) string {
			text, ends, err := tickets.Issue(who, "")
			if err != nil || time.Until(ends) != want {
				t.Fatalf("ends after %v, %v", time.Until(ends), err)
			}
			return text
		}
		a, b, c := issue(annie, TicketLife), issue(short, 10*time.Second), issue(annie, TicketLife)
		time.Sleep(10 * time.Second)
		if _, err := tickets.Redeem(b, ""); err == nil {
			t.Error("it outlives its token")
		}
		time.Sleep(20*time.Second - time.Nanosecond)
		if _, err := tickets.Redeem(a, ""); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := tickets.Redeem(c, ""); err == nil {
			t.Error("good after 30 seconds")
		}
		issue(annie, TicketLife)
		synctest.Wait() // for what is forgotten at this very moment
		tickets.mu.Lock()
		defer tickets.mu.Unlock()
		if len(tickets.open) != 1 || len(tickets.given) != 1 || tickets.users["ann"] != 1 || len(tickets.users) != 1 {
			t.Errorf("%d and %d are remembered", len(tickets.open), len(tickets.given))
		}
	})
}

func TestTicketLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tickets Tickets
		issue := func(user string) error {
			_, _, err := tickets.Issue(&Identity{User: user}, "")
			return err
		}
		for n := range MaxTickets {
			if err := issue(fmt.Sprint("user", n/UserTickets)); err != nil {
				t.Fatal(n, err)
			}
			if n == MaxTickets/2 {
				time.Sleep(10 * time.Second)
			}
		}
		err := protocol.AsError(issue("ann"))
		if err == nil || err.Code != protocol.CodeUnavailable || !err.Retryable || err.RetryAfter != 20*time.Second || !strings.Contains(err.Message, "200000") {
			t.Errorf("one too many: %+v", err)
		}
		time.Sleep(20 * time.Second)
		if err := issue("ann"); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * TicketLife)
		synctest.Wait()
		tickets.mu.Lock()
		defer tickets.mu.Unlock()
		if tickets.open != nil || tickets.users != nil || tickets.given != nil {
			t.Errorf("%d and %d are remembered for nobody", len(tickets.open), len(tickets.given))
		}
	})
}

// TestTicketShare: one user who takes all that there is leaves the others theirs.
func TestTicketShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tickets Tickets
		given := 0
		for range 2 * UserTickets {
			text, _, err := tickets.Issue(annie, "")
			if err == nil {
				given++
				_, _ = tickets.Redeem(text, "") // used ones count as well
			} else if e := protocol.AsError(err); e.Code != protocol.CodeLimitExceeded || !e.Retryable || e.RetryAfter <= 0 {
				t.Fatalf("told %v", err)
			}
		}
		if given != UserTickets {
			t.Errorf("one user was given %d tickets", given)
		}
		if _, _, err := tickets.Issue(&Identity{User: "bob"}, ""); err != nil {
			t.Errorf("another: %v", err)
		}
		time.Sleep(TicketLife)
		if _, _, err := tickets.Issue(annie, ""); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

func TestTicketForms(t *testing.T) {
	var tickets Tickets
	good, _, _ := tickets.Issue(annie, "")
	for _, text := range []string{"", good[1:], good + "A", strings.Repeat("!", 22), "AAAAAAAAAAAAAAAAAAAAAA", good[:21] + "\n", strings.Repeat("A", 1<<20)} {
		if _, err := tickets.Redeem(text, ""); err == nil || protocol.AsError(err).Code != protocol.CodeUnauthorized {
			t.Errorf("%.30q: %v", text, err)
		}
	}
	r := httptest.NewRequest("GET", "/v1/sse?ticket="+good, nil)
	r.Header.Set("Origin", "HTTPS://Shop.example:443")
	if got, ok := RequestTicket(r); !ok || got != good || RequestOrigin(r) != "https://shop.example" {
		t.Errorf("%q %v, origin %q", got, ok, RequestOrigin(r))
	}
	if _, ok := RequestTicket(httptest.NewRequest("GET", "/v1/sse", nil)); ok {
		t.Error("found one where none is")
	}
}

func TestSplitTicket(t *testing.T) {
	text := strings.Repeat("A", ticketLength)
	if node, rest, ok := SplitTicket("node-1" + text); !ok || node != "node-1" || rest != text {
		t.Errorf("%q %q %v", node, rest, ok)
	}
	for _, bad := range []string{"", text, "a.b" + text, "*" + text, "é" + text, "a\n" + text, strings.Repeat("n", maxNode+1) + text} {
		if node, _, ok := SplitTicket(bad); ok {
			t.Errorf("%q is of node %q", bad, node)
		}
	}
}

func TestPassport(t *testing.T) {
	claims := `{"sub":"ann","ringdown":{"chat:*":["subscribe"]}}`
	who, err := Passport{User: "ann", Claims: []byte(claims), Expires: time.Unix(7, 0)}.Identity()
	if err != nil || who.User != "ann" || !who.Expires.Equal(time.Unix(7, 0)) {
		t.Fatal(who, err)
	}
	if granted, _ := who.Caps.Decide("subscribe", "chat:1"); !granted {
		t.Error("the capabilities are lost")
	}
	if p := who.Passport(); string(p.Claims) != claims {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{`[]`, `{"ringdown":7}`} {
		if _, err := (Passport{User: "ann", Claims: []byte(bad)}).Identity(); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
