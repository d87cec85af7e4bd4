package shop

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"ringdown/examples/outbox"
)

// The shop's records, one bucket each.
var (
	ordersBucket     = []byte("orders")     // order id → Order
	customersBucket  = []byte("customers")  // customer, 0, order id → nothing
	referencesBucket = []byte("references") // customer, 0, reference → order id
	stockBucket      = []byte("stock")      // product → count

	buckets = [][]byte{ordersBucket, customersBucket, referencesBucket, stockBucket}
)

// tx is one transaction, in the shop's words.
type tx struct{ *bolt.Tx }

// number is big-endian, so that the database's order is the numbers' order.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func under(customer string, rest []byte) []byte {
	return append(append([]byte(customer), 0), rest...)
}

func (t tx) order(id uint64) (*Order, error) {
	stored := t.Bucket(ordersBucket).Get(number(id))
	if stored == nil {
		return nil, noOrder(id)
	}
	return decodeOrder(id, stored)
}

func decodeOrder(id uint64, stored []byte) (*Order, error) {
	o := new(Order)
	if err := json.Unmarshal(stored, o); err != nil {
		return nil, fmt.Errorf("shop: order %d cannot be read back: %w", id, err)
	}
	return o, nil
}

// orderBy returns the order that customer placed with this reference, or nil.
func (t tx) orderBy(customer, reference string) (*Order, error) {
	id := t.Bucket(referencesBucket).Get(under(customer, []byte(reference)))
	if id == nil {
		return nil, nil
	}
	return t.order(binary.BigEndian.Uint64(id))
}

func (t tx) addOrder(o *Order) error {
	id, err := t.Bucket(ordersBucket).NextSequence()
	if err != nil {
		return err
	}
	o.ID = id
	if err := t.Bucket(customersBucket).Put(under(o.Customer, number(id)), nil); err != nil {
		return err
	}
	if o.Reference != "" {
		if err := t.Bucket(referencesBucket).Put(under(o.Customer, []byte(o.Reference)), number(id)); err != nil {
			return err
		}
	}
	return t.putOrder(o)
}

func (t tx) putOrder(o *Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return t.Bucket(ordersBucket).Put(number(o.ID), body)
}

// orders returns up to limit orders with ids below before, newest first: of one
// customer, or of everybody if customer is empty.
func (t tx) orders(customer string, before uint64, limit int) ([]*Order, error) {
	bucket, prefix := t.Bucket(ordersBucket), []byte(nil)
	if customer != "" {
		bucket, prefix = t.Bucket(customersBucket), under(customer, nil)
	}
	list := []*Order{}
	c := bucket.Cursor()
	// Step to the last key below the bound: Seek finds the first at or above it.
	key, _ := c.Seek(append(prefix[:len(prefix):len(prefix)], number(before)...))
	if key == nil {
		key, _ = c.Last()
	} else {
		key, _ = c.Prev()
	}
	for ; key != nil && len(list) < limit; key, _ = c.Prev() {
		if len(key) != len(prefix)+8 || string(key[:len(prefix)]) != string(prefix) {
			break // another customer's
		}
		o, err := t.order(binary.BigEndian.Uint64(key[len(prefix):]))
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

func (t tx) stock(product string) (count int, known bool) {
	stored := t.Bucket(stockBucket).Get([]byte(product))
	if len(stored) != 8 {
		return 0, false
	}
	return int(binary.BigEndian.Uint64(stored)), true
}

// Stock is how many of a product there are.
type Stock struct {
	Product string `json:"product"`
	Count   int    `json:"count"`
}

// setStock stores a count and announces it.
func (t tx) setStock(product string, count int) error {
	if err := t.Bucket(stockBucket).Put([]byte(product), number(uint64(count))); err != nil {
		return err
	}
	return outbox.Put(t.Tx, "inventory", "inventory-changed", product, Stock{product, count})
}

// take moves ls out of the stock, all or nothing.
func (t tx) take(ls []Line) error {
	for _, l := range ls {
		left, _ := t.stock(l.Product)
		if left < l.Quantity {
			p, err := findProduct(l.Product)
			if err != nil {
				return err
			}
			return &StockError{Product: *p, Left: left}
		}
		if err := t.setStock(l.Product, left-l.Quantity); err != nil {
			return err
		}
	}
	return nil
}

// giveBack moves ls back into the stock.
func (t tx) giveBack(ls []Line) error {
	for _, l := range ls {
		left, _ := t.stock(l.Product)
		if err := t.setStock(l.Product, min(left+l.Quantity, MaxStock)); err != nil {
			return err
		}
	}
	return nil
}
