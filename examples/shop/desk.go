package shop

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"ringdown/examples/demo/stage"
	"ringdown/examples/outbox"
	"ringdown/protocol"
)

// MaxStock is the largest count the inventory holds.
const MaxStock = 100_000

// Notification is a line for one customer's eyes.
type Notification struct {
	Text   string `json:"text"`
	Order  uint64 `json:"order"`
	Status Status `json:"status"`
}

// Place takes an order and its lines out of the stock. Asked again with the
// same reference it returns the order that exists, and placed is false.
// Errors are *protocol.Error or *[StockError].
func (s *Shop) Place(who stage.Caller, d Draft) (o *Order, placed bool, err error) {
	customer := who.User
	if d.Customer != "" && d.Customer != who.User {
		if !who.Staff {
			return nil, false, protocol.Errorf(protocol.CodeForbidden, "only staff can order for somebody else")
		}
		if err := stage.CheckName(d.Customer); err != nil {
			return nil, false, err
		}
		customer = d.Customer
	}
	ls, total, err := lines(d.Lines)
	if err != nil {
		return nil, false, err
	}
	if err := checkNote(d.Note); err != nil {
		return nil, false, err
	}
	if len(d.Reference) > MaxReference {
		return nil, false, bad("a reference has %d bytes at most", MaxReference)
	}
	now := s.now().UTC()
	o = &Order{Version: 1, Customer: customer, Lines: ls, Total: total, Currency: Currency, Status: Created,
		Note: d.Note, Reference: d.Reference, Created: now, Updated: now}
	err = s.change(func(t tx) error {
		if d.Reference != "" {
			earlier, err := t.orderBy(customer, d.Reference)
			if err != nil || earlier != nil {
				o = earlier
				return err
			}
		}
		placed = true
		if err := t.take(ls); err != nil {
			return err
		}
		if err := t.addOrder(o); err != nil {
			return err
		}
		return outbox.Put(t.Tx, "orders", "order-created", "", o)
	})
	if err != nil {
		return nil, false, err
	}
	return o, placed, nil
}

// Update changes an order. Customers may change their own, staff any.
// Errors are *protocol.Error or *[StockError].
func (s *Shop) Update(who stage.Caller, id uint64, c Change) (*Order, error) {
	if c.Status == nil && c.Note == nil && c.Lines == nil {
		return nil, bad("nothing to change: give status, note or lines")
	}
	var fresh []Line
	var total int64
	if c.Lines != nil {
		var err error
		if fresh, total, err = lines(*c.Lines); err != nil {
			return nil, err
		}
	}
	if c.Note != nil {
		if err := checkNote(*c.Note); err != nil {
			return nil, err
		}
	}
	var o *Order
	err := s.change(func(t tx) (err error) {
		if o, err = t.order(id); err != nil {
			return err
		}
		if err := o.mayChange(who, &c); err != nil {
			return err
		}
		if c.Note != nil {
			o.Note = *c.Note
		}
		if c.Lines != nil {
			if err := t.giveBack(o.Lines); err != nil {
				return err
			}
			if err := t.take(fresh); err != nil {
				return err
			}
			o.Lines, o.Total = fresh, total
		}
		if c.Status != nil && *c.Status == Cancelled {
			if err := t.giveBack(o.Lines); err != nil {
				return err
			}
		}
		if c.Status != nil {
			o.Status = *c.Status
		}
		return s.changed(t, who, o)
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Ship sends an order off. Only staff may.
func (s *Shop) Ship(who stage.Caller, id uint64) (*Order, error) {
	shipped := Shipped
	return s.Update(who, id, Change{Status: &shipped})
}

// changed stores o as its next version and tells the world, and the customer
// if it was somebody else's doing.
func (s *Shop) changed(t tx, who stage.Caller, o *Order) error {
	o.Version++
	o.Updated = s.now().UTC()
	if err := t.putOrder(o); err != nil {
		return err
	}
	kind := "order-updated"
	if o.Status == Shipped {
		kind = "order-shipped"
	}
	if err := outbox.Put(t.Tx, "orders", kind, "", o); err != nil {
		return err
	}
	if who.User == o.Customer {
		return nil
	}
	return outbox.Put(t.Tx, "user:"+o.Customer+":notifications", "notification", "",
		Notification{Text: news(o), Order: o.ID, Status: o.Status})
}

func news(o *Order) string {
	switch o.Status {
	case Shipped:
		return fmt.Sprintf("Order %d is on its way to you.", o.ID)
	case Packed:
		return fmt.Sprintf("Order %d is packed and waits for the van.", o.ID)
	case Paid:
		return fmt.Sprintf("Order %d: your payment has arrived.", o.ID)
	case Cancelled:
		return fmt.Sprintf("Order %d was cancelled by the shop.", o.ID)
	}
	return fmt.Sprintf("Order %d was changed by the shop.", o.ID)
}

// SetStock says how many of a product there are. Only staff may.
func (s *Shop) SetStock(who stage.Caller, product string, count int) (Stock, error) {
	if !who.Staff {
		return Stock{}, protocol.Errorf(protocol.CodeForbidden, "only staff can count the inventory")
	}
	if _, err := findProduct(product); err != nil {
		return Stock{}, err
	}
	if count < 0 || count > MaxStock {
		return Stock{}, bad("a count is 0 to %d", MaxStock)
	}
	return Stock{product, count}, s.change(func(t tx) error { return t.setStock(product, count) })
}

// Inventory returns the stock of every product, in the order of the catalogue.
func (s *Shop) Inventory() (list []Stock, err error) {
	err = s.db.View(func(btx *bolt.Tx) error {
		for _, p := range catalogue {
			count, _ := tx{btx}.stock(p.ID)
			list = append(list, Stock{p.ID, count})
		}
		return nil
	})
	return list, err
}

// Orders returns up to limit orders below the id before, newest first: all of
// them for staff, their own for customers.
func (s *Shop) Orders(who stage.Caller, before uint64, limit int) (list []*Order, err error) {
	customer := who.User
	if who.Staff {
		customer = ""
	}
	err = s.db.View(func(btx *bolt.Tx) (err error) {
		list, err = tx{btx}.orders(customer, before, limit)
		return err
	})
	return list, err
}

// Order returns one order, if who may see it.
func (s *Shop) Order(who stage.Caller, id uint64) (o *Order, err error) {
	err = s.db.View(func(btx *bolt.Tx) (err error) {
		if o, err = (tx{btx}).order(id); err == nil && !who.Staff && o.Customer != who.User {
			err = noOrder(id)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}
