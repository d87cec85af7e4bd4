package shop

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// Limits of one order.
const (
	MaxLines     = 20
	MaxQuantity  = 99
	MaxNote      = 200 // characters
	MaxReference = 64  // bytes
)

// Status is how far an order has come.
type Status string

// The life of an order: Created → Paid → Packed → Shipped. Steps may be
// skipped, never taken back; what has not been shipped can be Cancelled.
const (
	Created   Status = "created"
	Paid      Status = "paid"
	Packed    Status = "packed"
	Shipped   Status = "shipped"
	Cancelled Status = "cancelled"
)

var stages = []Status{Created, Paid, Packed, Shipped}

// Line is one product of an order, with its name and price as they were then.
type Line struct {
	Product  string `json:"product"`
	Name     string `json:"name"`
	Quantity int    `json:"quantity"`
	Price    int64  `json:"price"` // cents, for one
}

// Order is an order as it is stored, answered and published.
type Order struct {
	ID        uint64    `json:"id"`
	Version   int       `json:"version"` // 1, and one more with every change
	Customer  string    `json:"customer"`
	Lines     []Line    `json:"lines"`
	Total     int64     `json:"total"` // cents
	Currency  string    `json:"currency"`
	Status    Status    `json:"status"`
	Note      string    `json:"note"`
	Reference string    `json:"reference,omitempty"`
	Created   time.Time `json:"created"`
	Updated   time.Time `json:"updated"`
}

// Wanted is one product somebody asks for.
type Wanted struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// Draft is a request for a new order.
type Draft struct {
	Lines []Wanted `json:"lines"`
	Note  string   `json:"note"`
	// Customer may be set only by staff; others order for themselves.
	Customer string `json:"customer"`
	// Reference, chosen by the customer, makes asking again safe: the same
	// reference is the same order.
	Reference string `json:"reference"`
}

// Change is a request to change an order; what is nil stays.
type Change struct {
	Status *Status   `json:"status"`
	Note   *string   `json:"note"`
	Lines  *[]Wanted `json:"lines"`
	// Version, if given, must be the order's: the change was decided on by
	// somebody looking at that version.
	Version *int `json:"version"`
}

// StockError refuses an order that asks for more than there is.
type StockError struct {
	Product Product
	Left    int
}

// Error says how many are left.
func (e *StockError) Error() string {
	switch e.Left {
	case 0:
		return fmt.Sprintf("%s is sold out", e.Product.Name)
	case 1:
		return fmt.Sprintf("only one %s is left", e.Product.Name)
	}
	return fmt.Sprintf("only %d of %s are left", e.Left, e.Product.Name)
}

// Unwrap gives the error its code on the wire.
func (e *StockError) Unwrap() error {
	return protocol.Errorf(protocol.CodeConflict, "%s", e.Error())
}

// Details names the product in a problem document.
func (e *StockError) Details() map[string]any {
	return map[string]any{"product": e.Product.ID, "left": e.Left}
}

func bad(format string, args ...any) error {
	return protocol.Errorf(protocol.CodeBadRequest, format, args...)
}

// lines checks what somebody wants and prices it; the same product twice
// becomes one line.
func lines(wanted []Wanted) ([]Line, int64, error) {
	if len(wanted) == 0 {
		return nil, 0, bad(`an order needs lines: [{"product":"bell-collar","quantity":1}]`)
	}
	if len(wanted) > MaxLines {
		return nil, 0, bad("an order has %d lines at most", MaxLines)
	}
	var priced []Line
	for _, w := range wanted {
		if w.Quantity < 1 || w.Quantity > MaxQuantity {
			return nil, 0, bad("the quantity of %.60q must be 1 to %d", w.Product, MaxQuantity)
		}
		p, err := findProduct(w.Product)
		if err != nil {
			return nil, 0, bad("there is no product %.60q: GET /shop/products lists them", w.Product)
		}
		at := slices.IndexFunc(priced, func(l Line) bool { return l.Product == p.ID })
		if at < 0 {
			priced = append(priced, Line{Product: p.ID, Name: p.Name, Quantity: w.Quantity, Price: p.Price})
			continue
		}
		if priced[at].Quantity += w.Quantity; priced[at].Quantity > MaxQuantity {
			return nil, 0, bad("the quantity of %.60q must be 1 to %d", w.Product, MaxQuantity)
		}
	}
	var total int64
	for _, l := range priced {
		total += l.Price * int64(l.Quantity)
	}
	return priced, total, nil
}

func checkNote(note string) error {
	if utf8.RuneCountInString(note) > MaxNote {
		return bad("a note has %d characters at most", MaxNote)
	}
	return nil
}

// mayChange says whether who may change o in this way at this point.
func (o *Order) mayChange(who stage.Caller, c *Change) error {
	if !who.Staff && who.User != o.Customer {
		// Not "forbidden": whether a stranger's order exists is not your business.
		return noOrder(o.ID)
	}
	if c.Version != nil && *c.Version != o.Version {
		return protocol.Errorf(protocol.CodeConflict, "order %d has changed meanwhile: it is at version %d now", o.ID, o.Version)
	}
	if o.Status == Shipped || o.Status == Cancelled {
		return protocol.Errorf(protocol.CodeConflict, "order %d is %s already and stays as it is", o.ID, o.Status)
	}
	if c.Lines != nil && o.Status != Created {
		return protocol.Errorf(protocol.CodeConflict, "order %d is %s: its lines can no longer change", o.ID, o.Status)
	}
	if c.Status != nil {
		return o.mayBecome(who, *c.Status)
	}
	return nil
}

func (o *Order) mayBecome(who stage.Caller, next Status) error {
	switch next {
	case Created, Paid, Packed, Shipped, Cancelled:
	default:
		return bad("a status is one of created, paid, packed, shipped, cancelled; not %.20q", string(next))
	}
	if !who.Staff && (next == Packed || next == Shipped) {
		return protocol.Errorf(protocol.CodeForbidden, "only staff can say that an order is %s", next)
	}
	if next == Cancelled {
		if !who.Staff && o.Status == Packed {
			return protocol.Errorf(protocol.CodeConflict, "order %d is packed: ask staff to cancel it", o.ID)
		}
		return nil
	}
	if slices.Index(stages, next) <= slices.Index(stages, o.Status) {
		return protocol.Errorf(protocol.CodeConflict, "order %d is %s already", o.ID, o.Status)
	}
	return nil
}

func noOrder(id uint64) error {
	return protocol.Errorf(protocol.CodeNotFound, "there is no order %d, or it is not yours", id)
}
