package sale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown"
	"ringdown/client"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// house is a shop on a server of its own, whose clock a test moves.
type house struct {
	t      *testing.T
	dir    string
	server *ringdown.Server
	gate   *stage.Gate
	shop   *Shop
	ahead  atomic.Int64 // of the real clock
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *house) open() {
	h.t.Helper()
	gate, err := stage.OpenGate(h.dir, "sale-test-key-0123")
	if err != nil {
		h.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	server, err := ringdown.New(ringdown.Options{Config: Config, Env: gate.Env, Listen: "127.0.0.1:0", StoreDir: filepath.Join(h.dir, "messages"), Logger: log})
	if err != nil {
		h.t.Fatal(err)
	}
	shop, err := open(stage.Setting{Server: server, Gate: gate, Dir: h.dir, Logger: log}, h.now)
	if err == nil {
		err = server.Start(h.t.Context())
	}
	if err == nil {
		err = shop.Start(h.t.Context())
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.server, h.gate, h.shop = server, gate, shop
}

func (h *house) close() {
	h.t.Helper()
	if err := errors.Join(h.shop.Stop(context.Background()), h.server.Stop(context.Background()), h.shop.Stop(context.Background())); err != nil {
		h.t.Error(err)
	}
}

// opened starts the next sale, and has its beginning come.
func (h *house) opened() *Sale {
	h.t.Helper()
	sale, err := h.shop.Next()
	if err != nil {
		h.t.Fatal(err)
	}
	h.ahead.Add(int64(notice))
	return sale
}

// told reads the channel of the buyers until so many were told, and returns who has
// which number. A number that is told twice fails the test.
func (h *house) told(sale uint64, many int) map[uint64]string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	owners := map[uint64]string{}
	for m, err := range h.server.Subscribe(ctx, "sale:buyers", ringdown.Latest(500)) {
		if err != nil {
			h.t.Fatalf("%d of %d were told: %v", len(owners), many, err)
		}
		var b batch
		if err := json.Unmarshal(m.Data, &b); err != nil {
			h.t.Fatal(err)
		}
		for i, who := range b.Buyers {
			n := b.First + uint64(i)
			if b.Sale != sale {
				continue
			}
			if was, twice := owners[n]; twice {
				h.t.Errorf("number %d was told twice: of %s and %s", n, was, who)
			}
			owners[n] = who
		}
		if len(owners) >= many {
			break
		}
	}
	return owners
}

// left waits until the stock channel says so many are left.
func (h *house) left(want uint64) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	for m, err := range h.server.Subscribe(ctx, "sale:stock") {
		if err != nil {
			h.t.Fatalf("waiting for %d left: %v", want, err)
		}
		var s Sale
		if err := json.Unmarshal(m.Data, &s); err != nil {
			h.t.Fatal(err)
		}
		if s.Left == want {
			return
		}
	}
}

func reason(err error) string {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e.Reason
	}
	return fmt.Sprint(err)
}

func TestBuying(t *testing.T) {
	h := newHouse(t)
	sale, err := h.shop.Next()
	if err != nil {
		t.Fatal(err)
	}
	wish := func(ref string) Wish { return Wish{sale.ID, "reference-" + ref} }
	if _, err := h.shop.Buy("ann", wish("1")); reason(err) != "not_open" {
		t.Errorf("before it begins: %v", err)
	}
	if _, err := h.shop.Next(); reason(err) != "on" {
		t.Errorf("a second sale at once: %v", err)
	}
	h.ahead.Add(int64(notice))
	for _, c := range []struct {
		who    string
		wish   Wish
		number uint64
		reason string
	}{
		{"ann", wish("1"), 1, ""},
		{"ann", wish("1"), 1, ""}, // asked again
		{"ben", wish("1"), 2, ""}, // the same words of somebody else
		{"ann", wish("2"), 3, ""},
		{"ann", wish("3"), 0, "enough"},
		{"ann", wish("2"), 3, ""},
		{"cleo", Wish{sale.ID + 1, "reference-1"}, 0, "not_open"},
		{"cleo", Wish{0, "reference-1"}, 0, "not_open"},
		{"an", wish("1"), 4, ""}, // whose name ann's begins with
	} {
		p, err := h.shop.Buy(c.who, c.wish)
		if c.reason != "" && reason(err) != c.reason || c.reason == "" && (err != nil || p.Number != c.number || p.Left != Stock-c.number) {
			t.Errorf("%s with %v: %+v, %v; want %d %s", c.who, c.wish, p, err, c.number, c.reason)
		}
	}
	if _, err := h.shop.Buy("ann", Wish{sale.ID, "short"}); protocol.AsError(err).Code != protocol.CodeBadRequest {
		t.Errorf("a short reference: %v", err)
	}
	h.left(Stock - 4)
	if told := h.told(sale.ID, 4); told[1] != "ann" || told[2] != "ben" || told[3] != "ann" || told[4] != "an" {
		t.Errorf("told: %v", told)
	}
	h.ahead.Add(int64(lasts))
	if _, err := h.shop.Buy("dora", wish("9")); reason(err) != "not_open" {
		t.Errorf("when it is over: %v", err)
	}
	if p, err := h.shop.Buy("ann", wish("1")); err != nil || p.Number != 1 {
		t.Errorf("asked again when it is over: %+v, %v", p, err)
	}
}

// What was sold is there after a restart, and told once, though it was not told before.
func TestRestart(t *testing.T) {
	h := newHouse(t)
	sale := h.opened()
	for i := range 10 {
		if _, err := h.shop.Buy(fmt.Sprintf("user-%d", i), Wish{sale.ID, "reference"}); err != nil {
			t.Fatal(err)
		}
	}
	h.told(sale.ID, 10)
	h.shop.herald.stop() // dies before the last of it is told
	for i := range 5 {
		if _, err := h.shop.Buy(fmt.Sprintf("late-%d", i), Wish{sale.ID, "reference"}); err != nil {
			t.Fatal(err)
		}
	}
	h.close()
	h.open()
	h.left(Stock - 15)
	told := h.told(sale.ID, 15)
	if len(told) != 15 || told[11] != "late-0" || told[15] != "late-4" {
		t.Errorf("told after the restart: %v", told)
	}
	if p, err := h.shop.Buy("late-4", Wish{sale.ID, "reference"}); err != nil || p.Number != 15 {
		t.Errorf("asked again after the restart: %+v, %v", p, err)
	}
}

func TestOldSalesAreForgotten(t *testing.T) {
	h := newHouse(t)
	for range keptSales + 3 {
		sale := h.opened()
		if _, err := h.shop.Buy("ann", Wish{sale.ID, "reference"}); err != nil {
			t.Fatal(err)
		}
		h.ahead.Add(int64(lasts))
	}
	if _, err := h.shop.Buy("ann", Wish{3, "reference"}); reason(err) != "not_open" {
		t.Errorf("sale 3 is still known: %v", err)
	}
	if p, err := h.shop.Buy("ann", Wish{4, "reference"}); err != nil || p.Number != 1 {
		t.Errorf("sale 4 is not known any more: %v", err)
	}
}

func TestRush(t *testing.T) {
	h := newHouse(t)
	if err := h.shop.Rush(); reason(err) != "not_open" {
		t.Errorf("without a sale: %v", err)
	}
	sale := h.opened()
	if err := h.shop.Rush(); err != nil {
		t.Fatal(err)
	}
	if err := h.shop.Rush(); reason(err) != "on" {
		t.Errorf("a second one: %v", err)
	}
	h.left(0)
	if told := h.told(sale.ID, Stock); len(told) != Stock {
		t.Errorf("%d were told", len(told))
	}
	page, err := h.server.History(t.Context(), "sale:buyers", ringdown.HistoryRange{Limit: 1000})
	if err != nil || len(page.Messages) > int(rushLasts/breath)+5 {
		t.Errorf("%d messages for %d pieces in %v: %v", len(page.Messages), Stock, rushLasts, err)
	}
	h.shop.rushes.Wait()
}

// A rush that is on its way ends with the shop.
func TestStopDuringRush(t *testing.T) {
	h := newHouse(t)
	if _, err := h.shop.Next(); err != nil {
		t.Fatal(err)
	}
	if err := h.shop.Rush(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := h.shop.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > notice/2 {
		t.Errorf("it took %v", took)
	}
	if err := h.shop.Rush(); err == nil {
		t.Error("a closed shop has a rush")
	}
}

// Calls come with data that is judged, and by people who are known.
func TestCalls(t *testing.T) {
	h := newHouse(t)
	c := h.client("ann", nil)
	var begun Sale
	if err := c.Call(t.Context(), "next-sale", map[string]any{}, &begun); err != nil || begun.ID != 1 {
		t.Fatalf("%+v: %v", begun, err)
	}
	h.ahead.Add(int64(notice))
	for name, data := range map[string]any{
		"no reference": map[string]any{"sale": 1}, "more": map[string]any{"sale": 1, "reference": "reference", "number": 7},
		"text": "x", "a long one": map[string]any{"sale": 1, "reference": fmt.Sprintf("%065d", 1)},
	} {
		if err := c.Call(t.Context(), "buy", data, nil); client.Code(err) != protocol.CodeInvalidData {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Call(t.Context(), "rush", map[string]any{}, nil); err != nil {
		t.Error(err)
	}
}

func (h *house) client(user string, web *http.Client) *client.Client {
	h.t.Helper()
	token := func(context.Context, client.TokenReason) (string, error) { return h.gate.Token(user) }
	options := []client.Option{client.WithToken(token), client.WithBackoff(20*time.Millisecond, 500*time.Millisecond)}
	if web != nil {
		options = append(options, client.WithHTTPClient(web))
	}
	c, err := client.New("http://"+h.server.Addr().String(), options...)
	if err != nil {
		h.t.Fatal(err)
	}
	var once sync.Once
	h.t.Cleanup(func() { once.Do(func() { c.Close() }) })
	return c
}
