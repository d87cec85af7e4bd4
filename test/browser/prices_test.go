package browser

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

// order fills in the ticket and sends it. A limit of "" is the one proposed.
func (w *window) order(side, symbol string, quantity int, limit string) {
	w.t.Helper()
	w.click("#share-" + symbol + " button")
	w.click("input[value=" + side + "]")
	w.do(chromedp.SetValue(chromedp.CSS("#quantity"), fmt.Sprint(quantity)))
	if limit != "" {
		w.eval(`document.querySelector('#limit').value = ` + quote(limit) + `, document.querySelector('#limit').dispatchEvent(new Event('input'))`)
	}
	w.click("#send")
}

// trades waits until the page shows so many trades that were answered, and none that waits.
func (w *window) trades(filled, refused int) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`document.querySelectorAll('#trades [data-status=filled]').length === %d && document.querySelectorAll('#trades [data-status=refused]').length === %d
		&& document.querySelectorAll('#trades [data-status=asked]').length === 0`, filled, refused))
}

// books compares what the channels of a trader say: each trade once, and an account that
// is the sum of them.
func (g *gallery) books(user string, trades int) {
	g.t.Helper()
	var log struct {
		Messages []struct {
			Data struct {
				ID, Quantity, Price             int
				Status, Symbol, Side, Reference string
			}
		}
	}
	g.call("GET", "/v1/channels/trades:"+user+"/messages?limit=1000", "", http.StatusOK, &log)
	cash, shares, ids, references := 1_000_000, map[string]int{}, map[int]bool{}, map[string]bool{}
	for _, m := range log.Messages {
		d := m.Data
		if ids[d.ID] || references[d.Reference] {
			g.t.Errorf("trade %d of %s was told twice, or made twice", d.ID, user)
		}
		ids[d.ID], references[d.Reference] = true, true
		if d.Status != "filled" {
			continue
		}
		if d.Side == "sell" {
			d.Quantity = -d.Quantity
		}
		cash -= d.Quantity * d.Price
		if shares[d.Symbol] += d.Quantity; shares[d.Symbol] == 0 {
			delete(shares, d.Symbol)
		}
	}
	if len(ids) != trades {
		g.t.Errorf("%s has %d trades, want %d", user, len(ids), trades)
	}
	var state struct {
		Items []struct {
			Data struct {
				Cash   int
				Shares map[string]int
			}
		}
	}
	g.call("GET", "/v1/channels/trades:"+user+":account/state", "", http.StatusOK, &state)
	if len(state.Items) != 1 || state.Items[0].Data.Cash != cash || fmt.Sprint(state.Items[0].Data.Shares) != fmt.Sprint(shares) {
		g.t.Errorf("%s has %+v, and by the trades %d and %v", user, state.Items, cash, shares)
	}
}

func TestPrices(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "prices", "shop")
	ann := g.page(t, "/prices/?user=ann")
	second := g.tab(ann, "/prices/?user=ann")
	ben := g.page(t, "/prices/?user=ben")
	for _, w := range []*window{ann, ben} {
		w.wait(`document.querySelectorAll('.price[data-way]').length > 20`) // they move
	}

	// A trade is in every window of its trader, and in nobody else's.
	ann.order("buy", "EEL", 10, "1000")
	ann.trades(1, 0)
	second.trades(1, 0)
	second.waitText("#shares", "EEL")
	second.order("sell", "EEL", 11, "0.01")
	ann.waitText("#trades", "there are 10 of EEL to sell, not 11")
	ann.order("buy", "LAMP", 1, "0.50")
	second.waitText("#trades", "more than the limit")
	ben.order("buy", "LAMP", 1000, "1000")
	ben.waitText(".toast.bad", "and there are €10000.00")
	ann.trades(1, 2)
	ben.trades(0, 1)

	// A slower pace: the server leaves out what is out of date.
	ann.wait(`document.querySelector('#arrive').textContent > 20`)
	ann.eval(`document.querySelector('#rate').value = 0, document.querySelector('#rate').dispatchEvent(new Event('change'))`)
	ann.wait(`document.querySelector('#arrive').textContent > 0 && document.querySelector('#happen').textContent > 4 * document.querySelector('#arrive').textContent`)
	ann.shot("prices-slow")
	ann.eval(`document.querySelector('#rate').value = 5, document.querySelector('#rate').dispatchEvent(new Event('change'))`)

	// The network is cut: what is ordered waits, and is made once when it is back.
	g.cut()
	ann.lost()
	ann.order("buy", "ROPE", 5, "1000")
	ann.order("sell", "EEL", 4, "0.01")
	ann.waitText("#trades [data-status=asked]", "Will be asked when the line is back")
	ann.shot("prices-cut")
	g.heal()
	for _, w := range []*window{ann, second, ben} {
		w.back()
	}
	ann.trades(3, 2)
	second.trades(3, 2)

	// A page that was frozen has missed nothing when it is back.
	second.freeze()
	ann.order("buy", "ROPE", 5, "1000")
	ann.trades(4, 2)
	second.thaw()
	second.back()
	second.trades(4, 2)
	g.books("ann", 6)
}

// The server is killed while it trades: each trade is made, and once.
func TestPricesSurviveAKill(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "prices", "shop")
	ann := g.page(t, "/prices/?user=ann")
	second := g.tab(ann, "/prices/?user=ann")
	ann.wait(`document.querySelectorAll('.price[data-way]').length > 5`)
	const rounds, each = 3, 4
	for round := 1; round <= rounds; round++ {
		// All at once, so that the kill falls among them.
		ann.eval(fmt.Sprintf(`[...Array(%d)].forEach(() => {
			document.querySelector('#quantity').value = 1;
			document.querySelector('#limit').value = 1000;
			document.querySelector('#send').click();
		})`, each))
		g.restart()
		for _, w := range []*window{ann, second} {
			w.back()
			w.trades(round*each, 0)
		}
		g.books("ann", round*each)
	}
	// A page that is left before it is answered asks when it is loaded again.
	g.kill()
	ann.lost()
	ann.order("buy", "ROPE", 5, "1000")
	ann.waitText("#trades [data-status=asked]", "ROPE")
	g.start()
	ann.live(g.url("/prices/?user=ann"))
	ann.trades(rounds*each+1, 0)
	second.back()
	second.trades(rounds*each+1, 0)
	g.books("ann", rounds*each+1)
	price := ann.eval(`document.querySelector('#share-ROPE .price').textContent`)
	if price == "" {
		t.Error("there are no prices after the restart")
	}
}
