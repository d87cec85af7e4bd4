package devices

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// remembered is how long after its deadline a command stays in the journal: as long as the
// channel keeps it and longer, for until then it may be delivered again.
const remembered = 25 * time.Hour

// Entry is what a journal has of a command.
type Entry struct {
	Deadline int64   `json:"deadline"`
	Outcome  Outcome `json:"outcome,omitempty"` // "": it was begun and not ended
	Reason   string  `json:"reason,omitempty"`
	Told     bool    `json:"told,omitempty"` // the reply is stored
}

// Journal is where one device writes down what it does. What it returned from is on the
// disk. Calls for one device are made one after the other.
type Journal interface {
	// Begin returns what there is of a command, or nil, and then has noted that it begins.
	Begin(c Command) (*Entry, error)
	End(r Reply) error
	Told(id string) error
}

// journal is the journals of all simulated devices, a bucket for each.
type journal struct{ db *bolt.DB }

func openJournal(path string) (*journal, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("devices: cannot open %s (is another demo running on it?): %w", path, err)
	}
	return &journal{db}, nil
}

func (j *journal) close() error { return j.db.Close() }

func (j *journal) of(device string) Journal { return &notebook{j.db, []byte(device)} }

type notebook struct {
	db     *bolt.DB
	device []byte
}

func (n *notebook) Begin(c Command) (before *Entry, err error) {
	err = n.db.Update(func(t *bolt.Tx) error {
		b, err := t.CreateBucketIfNotExists(n.device)
		if err != nil {
			return err
		}
		if text := b.Get([]byte(c.ID)); text != nil {
			before = new(Entry)
			return json.Unmarshal(text, before)
		}
		if err := forget(b, time.Now().Add(-remembered).UnixMilli()); err != nil {
			return err
		}
		return put(b, c.ID, Entry{Deadline: c.Deadline})
	})
	return before, err
}

func (n *notebook) End(r Reply) error {
	return n.change(r.ID, func(e *Entry) { e.Outcome, e.Reason = r.Outcome, r.Reason })
}

func (n *notebook) Told(id string) error {
	return n.change(id, func(e *Entry) { e.Told = true })
}

func (n *notebook) change(id string, how func(e *Entry)) error {
	return n.db.Update(func(t *bolt.Tx) error {
		b := t.Bucket(n.device)
		if b == nil || b.Get([]byte(id)) == nil {
			return errors.New("devices: the journal has no command " + id)
		}
		var e Entry
		if err := json.Unmarshal(b.Get([]byte(id)), &e); err != nil {
			return err
		}
		how(&e)
		return put(b, id, e)
	})
}

func put(b *bolt.Bucket, id string, e Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return b.Put([]byte(id), text)
}

// forget drops the commands whose deadline was before a time in Unix ms.
func forget(b *bolt.Bucket, before int64) error {
	var old [][]byte
	err := b.ForEach(func(id, text []byte) error {
		var e Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return err
		}
		if e.Deadline < before {
			old = append(old, id)
		}
		return nil
	})
	for _, id := range old {
		err = errors.Join(err, b.Delete(id))
	}
	return err
}
