package browser

import (
	"fmt"
	"testing"
	"time"
)

// buy puts one of each product into the basket and orders.
func (w *window) buy(products ...string) {
	w.t.Helper()
	for _, p := range products {
		w.click("#product-" + p + " button")
	}
	w.click("#checkout [type=submit]")
}

func TestOrderTravelsBetweenTwoWindows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, staff := newWindow(t), newWindow(t)
	ann.live(s.url("/shop/?user=ann"))
	staff.live(s.url("/shop/staff"))
	staff.waitText("#orders-empty", "No orders yet")
	staff.wait(`document.querySelector('#stock-sun-lamp input').value === '8'`)

	ann.buy("sun-lamp", "bell-collar")
	staff.waitText("#orders tr", "1 × Basking lamp, 1 × Night bell collar")
	staff.waitText("#orders .who", "ann")
	staff.wait(`document.querySelector('#stock-sun-lamp input').value === '7'`) // the shelf too
	ann.waitText("#product-sun-lamp .left", "7 in stock")
	ann.wait(`document.querySelector('#orders [data-status=created]')?.dataset.order === '1'`)

	ann.click("#orders .acts button") // Pay
	staff.waitText("#orders .status", "Paid")
	staff.click(`[aria-label="Pack order 1"]`)
	ann.wait(`document.querySelector('#orders [data-status=packed]')`)
	ann.waitText(".toast", "Order 1 is packed")
	staff.click(`[aria-label="Ship order 1"]`)
	ann.wait(`document.querySelector('#orders [data-status=shipped]')`)
	ann.waitText(".toast", "Order 1 is on its way to you.")
	if n := ann.eval(`document.querySelectorAll('#orders > li').length`); n != "1" {
		t.Errorf("the customer sees %s orders, want 1: the optimistic one must have become the real one", n)
	}
}

func TestCustomersAreToldApart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, ben := newWindow(t), newWindow(t)
	ann.live(s.url("/shop/?user=ann"))
	ben.live(s.url("/shop/?user=ben"))
	ann.buy("bird-swing")
	ann.waitText("#orders", "Order 1")
	ben.waitText("#product-bird-swing .left", "39 in stock")
	ben.buy("fish-castle")
	ben.waitText("#orders", "Order 2")
	if text := ben.eval(`document.querySelector('#orders').textContent`); len(text) == 0 || ben.eval(`document.querySelectorAll('#orders > li').length`) != "1" {
		t.Errorf("ben sees orders that are not his: %s", text)
	}
}

func TestInventoryIsLiveAndNeverBelowZero(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, staff := newWindow(t), newWindow(t)
	ann.live(s.url("/shop/?user=ann"))
	staff.live(s.url("/shop/staff"))
	ann.waitText("#product-scratch-post .left", "6 in stock")
	ann.click("#product-scratch-post button")
	ann.click("#product-scratch-post button")

	staff.click(`[aria-label="One Harbour post less"]`)
	ann.waitText("#product-scratch-post .left", "Only 5 left")
	s.call("PUT", "/shop/inventory/scratch-post", `{"count":1}`, 200, nil)
	ann.waitText("#product-scratch-post .left", "Only 1 left")
	staff.wait(`document.querySelector('#stock-scratch-post input').value === '1'`)

	ann.click("#checkout [type=submit]")
	ann.waitText(".toast.bad", "only one Harbour post is left")
	ann.waitText("#basket-lines", "Harbour post") // back in the basket
	ann.wait(`document.querySelectorAll('#orders > li').length === 0`)
	if got := staff.eval(`document.querySelector('#stock-scratch-post input').value`); got != "1" {
		t.Errorf("after a refused order the stock is %s, want 1", got)
	}

	s.call("PUT", "/shop/inventory/scratch-post", `{"count":0}`, 200, nil)
	ann.waitText("#product-scratch-post .left", "Sold out")
	ann.wait(`document.querySelector('#product-scratch-post button').disabled`)
}

// The server is killed without warning and comes back on the same port and
// data: every page comes back by itself, and nothing of the shop is lost.
func TestPagesSurviveARestart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, staff, chat := newWindow(t), newWindow(t), newWindow(t)
	ann.live(s.url("/shop/?user=ann"))
	staff.live(s.url("/shop/staff"))
	chat.live(s.url("/chat/?user=ann"))
	ann.buy("sun-lamp")
	staff.waitText("#orders tr", "Basking lamp")
	chat.say("before the cut")
	chat.wait(`document.querySelector('#messages .sent')`)

	s.kill()
	for _, w := range []*window{ann, staff, chat} {
		w.wait(`document.documentElement.dataset.line !== 'live'`)
	}
	chat.say("while it was dark")
	ann.buy("bird-swing") // both wait for the line
	ann.waitText("#orders", "Will be sent when the line is back")
	ann.shot("shop-reconnecting")

	s.start()
	for _, w := range []*window{ann, staff, chat} {
		w.wait(`document.documentElement.dataset.line === 'live'`)
	}
	staff.waitText("#orders tr", "Basking lamp")
	staff.waitText("#orders tr", "Wire swing") // sent once the line was back
	ann.wait(`document.querySelectorAll('#orders > [data-status=created]').length === 2`)
	chat.waitText("#messages .sent", "before the cut")
	chat.waitText("#messages .sent", "while it was dark")

	staff.click(`[aria-label="Ship order 1"]`)
	ann.wait(`document.querySelector('#orders [data-order="1"]').dataset.status === 'shipped'`)
	var kept struct{ Orders []order }
	s.call("GET", "/shop/orders", "", 200, &kept)
	if got := fmt.Sprint(kept.Orders); len(kept.Orders) != 2 || kept.Orders[1].Status != "shipped" {
		t.Errorf("after the restart the shop has %s, want order 2 and a shipped order 1", got)
	}
}

// Orders that are placed while the network is cut, while the page is frozen, and at a
// server that is killed are placed once each, also when the page is loaded anew meanwhile.
func TestShopOrdersOnce(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "shop")
	ann, staff := g.page(t, "/shop/?user=ann"), g.page(t, "/shop/staff")
	placed := 0
	agree := func(left int) {
		t.Helper()
		placed++
		ann.wait(fmt.Sprintf(`document.querySelectorAll('#orders > [data-status=created]').length === %d && document.querySelectorAll('#orders > li').length === %[1]d`, placed))
		staff.wait(fmt.Sprintf(`document.querySelectorAll('#orders > tr').length === %d`, placed))
		for _, w := range []*window{ann, staff} {
			w.wait(fmt.Sprintf(`(document.querySelector('#product-sun-lamp .left')?.textContent ?? document.querySelector('#stock-sun-lamp input').value).includes(%d)`, left))
		}
	}
	ann.buy("sun-lamp")
	agree(7)

	g.cut()
	ann.lost()
	staff.lost()
	ann.buy("sun-lamp")
	ann.waitText("#orders", "Will be sent when the line is back")
	g.heal()
	ann.back()
	staff.back()
	agree(6)

	staff.freeze()
	ann.buy("sun-lamp")
	ann.wait(`document.querySelectorAll('#orders > [data-status=created]').length === 3`)
	staff.thaw()
	agree(5)

	g.kill()
	ann.lost()
	staff.lost()
	ann.buy("sun-lamp")
	ann.waitText("#orders", "Will be sent when the line is back")
	ann.open("about:blank") // the page is left before it could be sent
	g.start()
	staff.back()
	ann.live(g.url("/shop/?user=ann"))
	agree(4)
	ann.wait(`sessionStorage.getItem('shop:ann') === '[]'`)
}

// An order of which nobody knows whether it was placed, for the line broke before the
// answer, is asked for again and is one order.
func TestShopOrderWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t, "shop")
	c := newCable(t, s.addr)
	ann := newWindow(t)
	// The page sends its order, and hears no answer: its messages are kept from it.
	ann.before(`const send = WebSocket.prototype.send;
		WebSocket.prototype.send = function (data) {
			send.call(this, data);
			if (!String(data).includes('"type":"order"') || window.once) return;
			window.once = true;
			for (const name of ['onmessage', 'onclose']) this[name] = () => {};
			this.addEventListener('message', (e) => e.stopImmediatePropagation(), true);
			window.deaf = this;
		};`)
	ann.live("http://" + c.Addr().String() + "/shop/?user=ann")
	ann.buy("bell-collar")
	var kept struct{ Orders []order }
	for end := time.Now().Add(patience); len(kept.Orders) == 0; s.call("GET", "/shop/orders", "", 200, &kept) {
		if time.Now().After(end) {
			t.Fatal("the order was not placed")
		}
	}
	if got := ann.eval(`document.querySelector('#orders > li').dataset.status`); got != "sending" {
		t.Fatalf("the page says %s: it heard the answer", got)
	}
	c.cut()
	ann.eval(`dispatchEvent(new Event('online'))`) // it looks whether anybody is there
	ann.waitText(".toast", "Order 1 is placed")    // the answer has come
	ann.wait(`document.querySelector('#orders > [data-status=created]') !== null`)
	s.call("GET", "/shop/orders", "", 200, &kept)
	if n := ann.eval(`document.querySelectorAll('#orders > li').length`); n != "1" || len(kept.Orders) != 1 {
		t.Errorf("the page shows %s orders, and the shop has %d", n, len(kept.Orders))
	}
}
