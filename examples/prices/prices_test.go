package prices

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"ringdown"
	"ringdown/client"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// house is an exchange on a server of its own, which can be closed and opened again.
type house struct {
	t      *testing.T
	dir    string
	server *ringdown.Server
	gate   *stage.Gate
	*Exchange
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *house) open() {
	h.t.Helper()
	gate, err := stage.OpenGate(h.dir, "prices-test-key-0123")
	if err != nil {
		h.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	server, err := ringdown.New(ringdown.Options{Config: Config, Env: gate.Env, Listen: "127.0.0.1:0", StoreDir: filepath.Join(h.dir, "messages"), Logger: log})
	if err != nil {
		h.t.Fatal(err)
	}
	app, err := Open(stage.Setting{Server: server, Gate: gate, Dir: h.dir, Logger: log})
	if err == nil {
		err = server.Start(h.t.Context())
	}
	if err == nil {
		err = app.Start(h.t.Context())
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.server, h.gate, h.Exchange = server, gate, app.(*Exchange)
}

func (h *house) close() {
	h.t.Helper()
	if err := errors.Join(h.Stop(context.Background()), h.server.Stop(context.Background()), h.Stop(context.Background())); err != nil {
		h.t.Error(err)
	}
}

// account reads what the channel says of an account, when it has come to a version.
func (h *house) account(user string, version int) (a Account) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	for m, err := range h.server.Subscribe(ctx, "trades:"+user+":account") {
		if err != nil {
			h.t.Fatalf("waiting for version %d, at %d: %v", version, a.Version, err)
		}
		a = Account{}
		if err := json.Unmarshal(m.Data, &a); err != nil {
			h.t.Fatal(err)
		}
		if a.Version >= version {
			break
		}
	}
	return a
}

func order(side, symbol string, quantity, limit int64, reference string) Order {
	return Order{Side: side, Symbol: symbol, Quantity: quantity, Limit: limit, Reference: "reference-" + reference}
}

func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		order  Order
		price  int64
		filled bool
		cash   int64
		shares int64
	}{
		"buy at the limit":    {order(Buy, "EEL", 10, 100, ""), 100, true, 0, 15},
		"buy below the limit": {order(Buy, "EEL", 10, 100, ""), 90, true, 100, 15},
		"buy above the limit": {order(Buy, "EEL", 1, 100, ""), 101, false, 1000, 5},
		"one cent too little": {order(Buy, "EEL", 7, 1000, ""), 143, false, 1000, 5},
		"sell at the limit":   {order(Sell, "EEL", 5, 100, ""), 100, true, 1500, 0},
		"sell below it":       {order(Sell, "EEL", 5, 100, ""), 99, false, 1000, 5},
		"sell what is not":    {order(Sell, "EEL", 6, 1, ""), 100, false, 1000, 5},
		"the most there is":   {order(Buy, "EEL", maxQuantity, maxLimit, ""), maxLimit, false, 1000, 5},
	} {
		a := &Account{Cash: 1000, Shares: map[string]int64{"EEL": 5}}
		trade := a.settle(c.order, c.price)
		if (trade.Status == Filled) != c.filled || a.Cash != c.cash || a.Shares["EEL"] != c.shares || (trade.Reason == "") != c.filled {
			t.Errorf("%s: %+v leaves %+v", name, trade, a)
		}
	}
}

// The same reference is the same trade, also when the first was refused and would be
// filled now.
func TestReferences(t *testing.T) {
	h := newHouse(t)
	first, err := h.Trade("ann", order(Buy, "EEL", 10, maxLimit, "1"))
	if err != nil || first.Status != Filled {
		t.Fatalf("%+v, %v", first, err)
	}
	refused, err := h.Trade("ann", order(Sell, "ROPE", 1, 1, "2"))
	if err != nil || refused.Status != Refused || refused.ID != first.ID+1 {
		t.Fatalf("%+v, %v", refused, err)
	}
	if _, err := h.Trade("ann", order(Buy, "ROPE", 1, maxLimit, "3")); err != nil {
		t.Fatal(err)
	}
	h.floor.of["EEL"].Price.Price *= 2
	for _, want := range []Trade{first, refused} {
		if again, err := h.Trade("ann", want.Order); err != nil || again != want {
			t.Errorf("asked again: %+v, %v; want %+v", again, err, want)
		}
	}
	if _, err := h.Trade("ann", order(Buy, "EEL", 11, maxLimit, "1")); protocol.AsError(err).Code != protocol.CodeConflict {
		t.Errorf("another trade of the same reference: %v", err)
	}
	if other, err := h.Trade("ben", first.Order); err != nil || other.ID == first.ID {
		t.Errorf("the reference of somebody else: %+v, %v", other, err)
	}
	a := h.account("ann", 2)
	if want := openingCash - 10*first.Price - h.floor.of["ROPE"].Price.Price; a.Cash != want || a.Shares["EEL"] != 10 || a.Shares["ROPE"] != 1 {
		t.Errorf("the account is %+v, want %d in cash", a, want)
	}
}

func TestBadOrders(t *testing.T) {
	h := newHouse(t)
	for name, o := range map[string]Order{
		"side": order("give", "EEL", 1, 1, "1"), "nothing": order(Buy, "EEL", 0, 1, "1"), "less": order(Sell, "EEL", -1, 1, "1"),
		"much": order(Buy, "EEL", maxQuantity+1, 1, "1"), "no limit": order(Buy, "EEL", 1, 0, "1"), "high": order(Buy, "EEL", 1, maxLimit+1, "1"),
		"reference": {Side: Buy, Symbol: "EEL", Quantity: 1, Limit: 1, Reference: "short"},
	} {
		if _, err := h.Trade("ann", o); protocol.AsError(err).Code != protocol.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Trade("ann", order(Buy, "NONE", 1, 1, "1")); protocol.AsError(err).Code != protocol.CodeNotFound {
		t.Errorf("a symbol that is none: %v", err)
	}
}

// Many windows of one trader spend the same money at once: it is spent once.
func TestMoneyIsSpentOnce(t *testing.T) {
	h := newHouse(t)
	const many = 60
	price := h.floor.of["LAMP"].Price.Price
	trades := make([]Trade, many)
	var all sync.WaitGroup
	for i := range trades {
		all.Go(func() {
			var err error
			// Each reference is used twice at the same time.
			if trades[i], err = h.Trade("ann", order(Buy, "LAMP", 2, maxLimit, fmt.Sprint(i/2))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	filled := map[uint64]bool{}
	for i, trade := range trades {
		if trade.ID != trades[i/2*2].ID {
			t.Errorf("reference %d is trade %d and %d", i/2, trade.ID, trades[i/2*2].ID)
		}
		if trade.Status == Filled {
			filled[trade.ID] = true
		}
	}
	want := int(openingCash / (2 * price))
	a := h.account("ann", want)
	if len(filled) != want || a.Cash != openingCash-int64(want)*2*price || a.Cash < 0 || a.Shares["LAMP"] != int64(2*want) {
		t.Errorf("%d trades of %d at %d each were filled; the account is %+v", len(filled), many, 2*price, a)
	}
}

// What was traded and not told when the process died is told by the next, and the
// prices go on where they were.
func TestRestart(t *testing.T) {
	h := newHouse(t)
	h.courier.Stop()
	trade, err := h.Trade("ann", order(Buy, "EEL", 10, maxLimit, "1"))
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	moved := h.floor.of["EEL"].quote()
	h.mu.Unlock()
	moved.Price.Price = 9999
	if err := h.publish(t.Context(), []quote{moved}); err != nil {
		t.Fatal(err)
	}
	h.close()
	h.open()
	if a := h.account("ann", 1); a.Shares["EEL"] != 10 || a.Cash != openingCash-10*trade.Price {
		t.Errorf("the account is %+v", a)
	}
	h.mu.Lock()
	price := h.floor.of["EEL"].Price.Price
	h.mu.Unlock()
	if price != 9999 {
		t.Errorf("the price is %d", price)
	}
	if again, err := h.Trade("ann", trade.Order); err != nil || again != trade {
		t.Errorf("asked again: %+v, %v", again, err)
	}
}

func TestOldTradesAreForgotten(t *testing.T) {
	h := newHouse(t)
	reference := func(i int) Order { return order(Sell, "EEL", 1, 1, fmt.Sprint(i)) }
	err := h.db.Update(func(tx *bolt.Tx) error {
		for i := range keptTrades {
			a, err := account(tx, "ann")
			if err != nil {
				return err
			}
			trade := a.settle(reference(i), 100)
			if err := record(tx, "ann", a, &trade); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.Trade("ann", reference(0)); err != nil || again.ID != 1 {
		t.Errorf("the oldest that is kept: %+v, %v", again, err)
	}
	if _, err := h.Trade("ann", reference(keptTrades)); err != nil {
		t.Fatal(err)
	}
	if again, err := h.Trade("ann", reference(0)); err != nil || again.ID != keptTrades+2 {
		t.Errorf("one that should be forgotten: %+v, %v", again, err)
	}
	if again, err := h.Trade("ann", reference(2)); err != nil || again.ID != 3 {
		t.Errorf("one that should be kept: %+v, %v", again, err)
	}
}

func TestThereIsRoomForSoManyTraders(t *testing.T) {
	h := newHouse(t)
	if _, err := h.Trade("ann", order(Sell, "EEL", 1, 1, "1")); err != nil {
		t.Fatal(err)
	}
	if err := h.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(accountsBucket).SetSequence(maxAccounts) }); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Trade("ben", order(Sell, "EEL", 1, 1, "1")); protocol.AsError(err).Code != protocol.CodeLimitExceeded {
		t.Errorf("one too many: %v", err)
	}
	if _, err := h.Trade("ann", order(Sell, "EEL", 1, 1, "2")); err != nil {
		t.Errorf("one who was there: %v", err)
	}
}

// A call goes all the way: judged by its schema, answered, and told on the channel.
func TestCall(t *testing.T) {
	h := newHouse(t)
	c, err := client.New("http://"+h.server.Addr().String(), client.WithToken(func(context.Context, client.TokenReason) (string, error) { return h.gate.Token("ann") }))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got Trade
	want := order(Buy, "EEL", 3, maxLimit, "1")
	if err := c.Call(t.Context(), "trade", want, &got); err != nil || got.Status != Filled || got.Order != want {
		t.Fatalf("%+v, %v", got, err)
	}
	for m, err := range c.Channel("trades:ann").Messages(t.Context(), client.Last(10)) {
		var told Trade
		if err == nil {
			err = m.Decode(&told)
		}
		if err != nil || told != got {
			t.Errorf("told %+v, %v", told, err)
		}
		break
	}
	if err := c.Call(t.Context(), "trade", map[string]any{"symbol": "EEL"}, nil); client.Code(err) != protocol.CodeInvalidData {
		t.Errorf("half an order: %v", err)
	}
	for _, err := range c.Channel("trades:ben").Messages(t.Context()) {
		if client.Code(err) != protocol.CodeForbidden {
			t.Errorf("the trades of somebody else: %v", err)
		}
		break
	}
}

// Prices are there from the start, and move while somebody looks.
func TestPricesMoveWhileWatched(t *testing.T) {
	h := newHouse(t)
	before, err := h.server.State(t.Context(), "prices:harbour")
	if err != nil || len(before.Values) != len(markets[0].Shares) {
		t.Fatalf("%d prices: %v", len(before.Values), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := client.New("http://"+h.server.Addr().String(), client.WithFixedToken(must(h.gate.Token("ann"))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	seen := 0
	for m, err := range c.Channel("prices:harbour").Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		var p Price
		if err := m.Decode(&p); err != nil || p.Price < 1 {
			t.Fatalf("%s: %v", m.Data, err)
		}
		if m.Offset > before.Offset {
			seen++
		}
		if seen == 10 {
			break
		}
	}
}

func must(token string, err error) string {
	if err != nil {
		panic(err)
	}
	return token
}

func TestRoutes(t *testing.T) {
	h := newHouse(t)
	mux := http.NewServeMux()
	h.Routes(mux)
	for path, kind := range map[string]string{"/prices/": "text/html; charset=utf-8", "/prices/picture.svg": "image/svg+xml", "/prices/markets.json": "application/json"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s answered %d as %q", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
}
