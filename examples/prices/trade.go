package prices

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// Limits.
const (
	openingCash = 1_000_000 // cents, of everybody who comes
	maxQuantity = 10_000
	maxLimit    = 100_000_000 // cents
	minRef      = 8           // bytes
	maxRef      = 64
	maxAccounts = 10_000
	keptTrades  = 1_000 // of each account; older references are forgotten
)

// The two sides and the two ends of a trade.
const (
	Buy     = "buy"
	Sell    = "sell"
	Filled  = "filled"
	Refused = "refused"
)

// Order is what a trader asks for.
type Order struct {
	Symbol    string `json:"symbol"`
	Side      string `json:"side"`
	Quantity  int64  `json:"quantity"`
	Limit     int64  `json:"limit"` // cents for one: to pay at most, or to get at least
	Reference string `json:"reference"`
}

// Trade is the confirmation.
type Trade struct {
	ID     uint64 `json:"id"`
	Status string `json:"status"`
	Order
	Price  int64     `json:"price,omitempty"` // cents for one
	Reason string    `json:"reason,omitempty"`
	Time   time.Time `json:"time"`
}

// Account is what a trader has.
type Account struct {
	Version int              `json:"version"` // one more with each trade that was filled
	Cash    int64            `json:"cash"`    // cents
	Shares  map[string]int64 `json:"shares"`
}

// check refuses what could never be a trade, as a *protocol.Error.
func (o *Order) check() error {
	bad := func(format string, args ...any) error {
		return protocol.Errorf(protocol.CodeBadRequest, format, args...)
	}
	switch {
	case o.Side != Buy && o.Side != Sell:
		return bad("side is buy or sell, not %.20q", o.Side)
	case o.Quantity < 1 || o.Quantity > maxQuantity:
		return bad("a quantity is 1 to %d", maxQuantity)
	case o.Limit < 1 || o.Limit > maxLimit:
		return bad("a limit is 1 to %d cents", maxLimit)
	case len(o.Reference) < minRef || len(o.Reference) > maxRef:
		return bad("a reference has %d to %d bytes: the same one is the same trade", minRef, maxRef)
	}
	return nil
}

// settle decides an order at a price, and changes the account if it is filled. The
// products cannot overflow: both factors are at most 1e8.
func (a *Account) settle(o Order, price int64) Trade {
	t := Trade{Status: Refused, Order: o}
	total := price * o.Quantity
	switch {
	case o.Side == Buy && price > o.Limit:
		t.Reason = fmt.Sprintf("%s costs %s now, more than the limit", o.Symbol, euros(price))
	case o.Side == Sell && price < o.Limit:
		t.Reason = fmt.Sprintf("%s brings %s now, less than the limit", o.Symbol, euros(price))
	case o.Side == Buy && total > a.Cash:
		t.Reason = fmt.Sprintf("this costs %s, and there are %s", euros(total), euros(a.Cash))
	case o.Side == Sell && o.Quantity > a.Shares[o.Symbol]:
		t.Reason = fmt.Sprintf("there are %d of %s to sell, not %d", a.Shares[o.Symbol], o.Symbol, o.Quantity)
	default:
		t.Status, t.Price = Filled, price
		a.Version++
		a.take(o, total)
	}
	return t
}

func (a *Account) take(o Order, total int64) {
	if o.Side == Buy {
		a.Cash -= total
		a.Shares[o.Symbol] += o.Quantity
		return
	}
	a.Cash += total
	if a.Shares[o.Symbol] -= o.Quantity; a.Shares[o.Symbol] == 0 {
		delete(a.Shares, o.Symbol)
	}
}

func euros(cents int64) string { return fmt.Sprintf("€%d.%02d", cents/100, cents%100) }

// answer is the call trade.
func (e *Exchange) answer(_ context.Context, call *ringdown.Call) (any, error) {
	who, err := stage.CallerOf(call.Claims)
	if err != nil {
		return nil, err
	}
	var o Order
	if err := stage.DecodeJSON(bytes.NewReader(call.Data), &o); err != nil {
		return nil, err
	}
	return e.Trade(who.User, o)
}

// Trade fills or refuses an order at the price of this moment. Asked again with the same
// reference it returns the trade that there is. It returns when the trade is on the
// disk; errors are *protocol.Error, or those of the database.
func (e *Exchange) Trade(user string, o Order) (Trade, error) {
	if err := o.check(); err != nil {
		return Trade{}, err
	}
	e.mu.Lock()
	s := e.floor.of[o.Symbol]
	var price int64
	if s != nil {
		price = s.Price.Price
	}
	e.mu.Unlock()
	if s == nil {
		return Trade{}, protocol.Errorf(protocol.CodeNotFound, "nothing called %.10q is traded here", o.Symbol)
	}
	t, err := e.book(user, o, price)
	if err != nil {
		return Trade{}, err
	}
	e.courier.Wake()
	return t, nil
}
