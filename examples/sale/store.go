package sale

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	minRef    = 8 // bytes
	maxRef    = 64
	keptSales = 20 // older ones are forgotten, with who bought in them
)

// The records, one bucket each. Keys begin with the number of the sale.
var (
	salesBucket      = []byte("sales")      // sale → Sale
	soldBucket       = []byte("sold")       // sale, number → buyer
	referencesBucket = []byte("references") // sale, buyer, 0, reference → number, left

	buckets = [][]byte{salesBucket, soldBucket, referencesBucket}
)

// Sale is one sale, as it is stored and published.
type Sale struct {
	ID      uint64 `json:"sale"`
	Article string `json:"article"`
	Picture string `json:"picture"`
	Price   int64  `json:"price"` // cents
	Stock   uint64 `json:"stock"`
	Left    uint64 `json:"left"`
	Starts  int64  `json:"starts"` // milliseconds since 1970
	Ends    int64  `json:"ends"`
}

// over reports whether nothing will be sold any more.
func (s *Sale) over(now time.Time) bool { return s.Left == 0 || now.UnixMilli() >= s.Ends }

// Wish is what a buyer asks for.
type Wish struct {
	Sale      uint64 `json:"sale"`
	Reference string `json:"reference"`
}

// Piece is what a buyer gets.
type Piece struct {
	Sale   uint64 `json:"sale"`
	Number uint64 `json:"number"` // from 1
	Left   uint64 `json:"left"`
}

func prepare(db *bolt.DB) error {
	return db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// number is big-endian, so that the database's order is the numbers' order.
func number(ns ...uint64) (key []byte) {
	for _, n := range ns {
		key = binary.BigEndian.AppendUint64(key, n)
	}
	return key
}

// of is what the references of a buyer in a sale begin with. A name has no zero byte.
func of(sale uint64, user string) []byte { return append(append(number(sale), user...), 0) }

// begin makes the next sale, if none is on.
func (s *Shop) begin(now time.Time) (next *Sale, err error) {
	err = s.db.Update(func(tx *bolt.Tx) error {
		last, err := latest(tx)
		if err != nil {
			return err
		}
		if last.ID > 0 && !last.over(now) {
			return refuse("on", "sale %d is on, or about to begin", last.ID)
		}
		what, starts := articles[last.ID%uint64(len(articles))], now.Add(notice)
		next = &Sale{ID: last.ID + 1, Article: what.name, Picture: what.picture, Price: what.price, Stock: Stock, Left: Stock,
			Starts: starts.UnixMilli(), Ends: starts.Add(lasts).UnixMilli()}
		if next.ID > keptSales {
			if err := forget(tx, next.ID-keptSales); err != nil {
				return err
			}
		}
		return put(tx, next)
	})
	return next, err
}

// sell gives out the next number. Transactions are one after the other, so that none is
// given twice; buyers who come at the same time are written to the disk together.
func (s *Shop) sell(user string, w Wish, now time.Time) (p Piece, err error) {
	var refusal error // would undo the others of the batch, if it were the error of the transaction
	err = s.db.Batch(func(tx *bolt.Tx) (err error) {
		p, refusal = Piece{}, nil // it may be run again
		references, key := tx.Bucket(referencesBucket), append(of(w.Sale, user), w.Reference...)
		if known := references.Get(key); known != nil {
			p = Piece{w.Sale, binary.BigEndian.Uint64(known), binary.BigEndian.Uint64(known[8:])}
			return nil
		}
		sale, err := saleOf(tx, w.Sale)
		if err != nil {
			return err
		}
		if refusal = mayBuy(tx, sale, user, now); refusal != nil {
			return nil
		}
		sale.Left--
		p = Piece{sale.ID, sale.Stock - sale.Left, sale.Left}
		if err := references.Put(key, number(p.Number, p.Left)); err != nil {
			return err
		}
		if err := tx.Bucket(soldBucket).Put(number(p.Sale, p.Number), []byte(user)); err != nil {
			return err
		}
		return put(tx, sale)
	})
	if err == nil {
		err = refusal
	}
	return p, err
}

func mayBuy(tx *bolt.Tx, sale *Sale, user string, now time.Time) error {
	switch {
	case sale == nil:
		return refuse("not_open", "there is no such sale")
	case now.UnixMilli() < sale.Starts:
		return refuse("not_open", "sale %d has not begun yet", sale.ID)
	case sale.Left == 0:
		return refuse("sold_out", "all %d are sold", sale.Stock)
	case now.UnixMilli() >= sale.Ends:
		return refuse("not_open", "sale %d is over", sale.ID)
	}
	prefix := of(sale.ID, user)
	c, n := tx.Bucket(referencesBucket).Cursor(), 0
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = c.Next() {
		n++
	}
	if n >= PerUser {
		return refuse("enough", "%d for each buyer, and you have them", PerUser)
	}
	return nil
}

func put(tx *bolt.Tx, sale *Sale) error {
	body, err := json.Marshal(sale)
	if err != nil {
		return err
	}
	return tx.Bucket(salesBucket).Put(number(sale.ID), body)
}

// saleOf returns a sale, or nil.
func saleOf(tx *bolt.Tx, id uint64) (*Sale, error) {
	stored := tx.Bucket(salesBucket).Get(number(id))
	if stored == nil {
		return nil, nil
	}
	sale := new(Sale)
	return sale, json.Unmarshal(stored, sale)
}

// latest returns the newest sale. Before the first that is number 0, in which nothing
// was ever to be had.
func latest(tx *bolt.Tx) (*Sale, error) {
	first := articles[0]
	sale := &Sale{Article: first.name, Picture: first.picture, Price: first.price, Stock: Stock}
	if _, stored := tx.Bucket(salesBucket).Cursor().Last(); stored != nil {
		return sale, json.Unmarshal(stored, sale)
	}
	return sale, nil
}

// current returns the newest sale; number 0 before the first.
func (s *Shop) current() (sale *Sale, err error) {
	err = s.db.View(func(tx *bolt.Tx) (err error) {
		sale, err = latest(tx)
		return err
	})
	return sale, err
}

// forget drops all about the sales up to one.
func forget(tx *bolt.Tx, upTo uint64) error {
	for _, name := range buckets {
		c := tx.Bucket(name).Cursor()
		for key, _ := c.First(); key != nil && binary.BigEndian.Uint64(key) <= upTo; key, _ = c.First() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
	}
	return nil
}

// sold returns the buyers of the pieces behind a number, as far as most of them go; of
// one sale, that of the first of them.
func (s *Shop) sold(after place, most int) (b batch, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(soldBucket).Cursor()
		for key, user := c.Seek(number(after.sale, after.number+1)); key != nil && len(b.Buyers) < most; key, user = c.Next() {
			at := place{binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:])}
			if len(b.Buyers) == 0 {
				b.Sale, b.First = at.sale, at.number
			} else if at.sale != b.Sale {
				break
			}
			b.Buyers = append(b.Buyers, string(user))
		}
		return nil
	})
	return b, err
}
