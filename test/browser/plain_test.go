package browser

import (
	"fmt"
	"testing"
)

// A page without any SDK gets the events that it switches on.
func TestPlainPage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.open(s.url("/demo/plain.html"))
	w.waitText("#log [data-type=subscribed]", "orders")
	w.waitText("#source", "new WebSocket(")

	o := s.place("ben", `[{"product":"bell-collar","quantity":1}]`)
	w.waitText("#log [data-type=order-created]", fmt.Sprintf("order %d by ben", o.ID))
	s.call("PATCH", fmt.Sprintf("/shop/orders/%d", o.ID), `{"status":"paid"}`, 200, nil)
	w.waitText("#log [data-type=order-updated]", "is paid")
	s.call("POST", fmt.Sprintf("/shop/orders/%d/ship", o.ID), "", 200, nil)
	w.waitText("#log [data-type=order-shipped]", "is on its way")
}

// A bad token is told in words before the connection is closed with its code.
func TestPlainPageWithAnInvalidToken(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.open(s.url("/demo/plain.html?token=invalid"))
	w.waitText("#log [data-type=closed]", "4001 Invalid token")
	if order := w.eval(`[...document.querySelectorAll('#log li')].map((e) => e.dataset.type).join()`); order != "error,closed" {
		t.Errorf("the page saw %q, want error,closed", order)
	}
}
