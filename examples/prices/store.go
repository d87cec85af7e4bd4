package prices

import (
	"bytes"
	"encoding/binary"
	"encoding/json"

	bolt "go.etcd.io/bbolt"

	"ringdown/examples/outbox"
	"ringdown/protocol"
)

// The records, one bucket each.
var (
	accountsBucket   = []byte("accounts")   // user → Account
	tradesBucket     = []byte("trades")     // user, 0, id → Trade
	referencesBucket = []byte("references") // user, 0, reference → id
)

func prepare(db *bolt.DB) error {
	return db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{accountsBucket, tradesBucket, referencesBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// number is big-endian, so that the database's order is the numbers' order.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func under(user string, rest []byte) []byte { return append(append([]byte(user), 0), rest...) }

// book decides an order and writes down what comes of it, with the events that tell of
// it, in one transaction. Transactions are one after the other, so that money is spent
// once; those that come at the same time share the disk's time.
func (e *Exchange) book(user string, o Order, price int64) (t Trade, err error) {
	var refusal error // would undo the others of the batch, if it were the error of the transaction
	err = e.db.Batch(func(tx *bolt.Tx) (err error) {
		t, refusal = Trade{}, nil // it may be run again
		if known, err := tradeOf(tx, user, o.Reference); known != nil || err != nil {
			if known != nil && known.Order != o {
				refusal = protocol.Errorf(protocol.CodeConflict, "the reference %.64q is that of another trade", o.Reference)
			} else if known != nil {
				t = *known
			}
			return err
		}
		a, err := account(tx, user)
		if err != nil {
			return err
		}
		if a.Version == 0 && tx.Bucket(accountsBucket).Get([]byte(user)) == nil && accounts(tx) >= maxAccounts {
			refusal = protocol.Errorf(protocol.CodeLimitExceeded, "this exchange has its %d traders", maxAccounts)
			return nil
		}
		t = a.settle(o, price)
		t.Time = e.now().UTC()
		return record(tx, user, a, &t)
	})
	if err == nil {
		err = refusal
	}
	return t, err
}

// account returns what somebody has.
func account(tx *bolt.Tx, user string) (*Account, error) {
	a := &Account{Cash: openingCash, Shares: map[string]int64{}}
	if stored := tx.Bucket(accountsBucket).Get([]byte(user)); stored != nil {
		return a, json.Unmarshal(stored, a)
	}
	return a, nil
}

// accounts counts them: the last number given out, for none is ever taken away.
func accounts(tx *bolt.Tx) uint64 { return tx.Bucket(accountsBucket).Sequence() }

func tradeOf(tx *bolt.Tx, user, reference string) (*Trade, error) {
	id := tx.Bucket(referencesBucket).Get(under(user, []byte(reference)))
	if id == nil {
		return nil, nil
	}
	t := new(Trade)
	return t, json.Unmarshal(tx.Bucket(tradesBucket).Get(under(user, id)), t)
}

// record stores a trade and the account after it, and puts both into the outbox.
func record(tx *bolt.Tx, user string, a *Account, t *Trade) (err error) {
	trades := tx.Bucket(tradesBucket)
	if t.ID, err = trades.NextSequence(); err != nil {
		return err
	}
	if err := put(trades, under(user, number(t.ID)), t); err != nil {
		return err
	}
	if err := tx.Bucket(referencesBucket).Put(under(user, []byte(t.Reference)), number(t.ID)); err != nil {
		return err
	}
	if err := forget(tx, user); err != nil {
		return err
	}
	if err := outbox.Put(tx, "trades:"+user, "trade", "", t); err != nil {
		return err
	}
	all := tx.Bucket(accountsBucket)
	if all.Get([]byte(user)) == nil {
		if _, err := all.NextSequence(); err != nil {
			return err
		}
	} else if t.Status == Refused {
		return nil // the account is as it was
	}
	if err := put(all, []byte(user), a); err != nil {
		return err
	}
	return outbox.Put(tx, "trades:"+user+":account", "account", "account", a)
}

func put(b *bolt.Bucket, key []byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, body)
}

// forget drops the oldest trade of somebody who has more than keptTrades, and its
// reference with it.
func forget(tx *bolt.Tx, user string) error {
	prefix := under(user, nil)
	c := tx.Bucket(tradesBucket).Cursor()
	n := 0
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = c.Next() {
		n++
	}
	if n <= keptTrades {
		return nil
	}
	key, stored := c.Seek(prefix)
	var t Trade
	if err := json.Unmarshal(stored, &t); err != nil {
		return err
	}
	if err := tx.Bucket(referencesBucket).Delete(under(user, []byte(t.Reference))); err != nil {
		return err
	}
	return tx.Bucket(tradesBucket).Delete(append([]byte(nil), key...))
}
