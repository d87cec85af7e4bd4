package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Report is what Verify found.
type Report struct {
	Info
	Values   uint64 // in the database, each of which was read and has its checksum
	Messages uint64
	Keys     uint64 // of states, remembered deletions included
	Damage   []error
}

// maxDamage is how much damage is told.
const maxDamage = 100

// Verify reads everything in the store in o.Dir, without changing it, and says
// what is damaged or does not fit together. The store must not be open anywhere.
// progress, unless it is nil, is called now and then with the number of values
// that were read. The error is for what kept Verify from going through.
func Verify(ctx context.Context, o Options, progress func(values uint64)) (r Report, err error) {
	s, old, err := openToRead(o)
	var damage *DamageError
	if errors.As(err, &damage) {
		return Report{Damage: []error{damage}}, nil
	}
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	v := &verifier{s: s, ctx: ctx, progress: progress, channels: map[uint64]*checked{}}
	v.report.Info = Info{Epoch: old.Epoch, Fsync: old.Fsync, Clean: old.Clean, LSN: s.lsn, Bytes: s.db.Metrics().DiskSpaceUsage()}
	if err := v.journal(old); err != nil {
		return v.report, err
	}
	if err := v.database(); err != nil {
		return v.report, err
	}
	v.heads()
	if err := s.db.CheckLevels(nil); err != nil {
		v.found(fmt.Errorf("%s: %w", s.path(databaseName), err))
	}
	return v.report, nil
}

// verifier is one run of Verify.
type verifier struct {
	s        *Store
	ctx      context.Context
	progress func(uint64)
	report   Report
	channels map[uint64]*checked
}

// checked is a channel, and what was seen of it.
type checked struct {
	name                    string
	head                    head
	last                    uint64 // message seen last
	latest, keys, deletions uint64
}

func (v *verifier) found(err error) {
	if len(v.report.Damage) < maxDamage {
		v.report.Damage = append(v.report.Damage, err)
	}
}

func (v *verifier) journal(old *control) error {
	r, err := replay(v.s.fs, v.s.journal.dir, v.s.lsn, false, func(entry) error { return v.ctx.Err() })
	var damage *DamageError
	if errors.As(err, &damage) {
		v.found(damage)
		return nil
	}
	if err != nil {
		return err
	}
	v.report.Journal = r.batches
	switch {
	case old.Clean && r.lsn != old.LSN:
		v.found(&DamageError{File: v.s.path(databaseName), Remedy: remedyTable, What: fmt.Sprintf("it holds the batches up to %d, but it was closed with %d", r.lsn, old.LSN)})
	case !old.Clean && old.Fsync == Always:
		if restored, err := exists(v.s.fs, v.s.path(restoredName)); err != nil || restored {
			return err // a backup has no mark
		}
		acknowledged, err := readMark(v.s.fs, v.s.opts.Dir)
		if err != nil {
			v.found(err)
		} else if r.lsn < acknowledged {
			v.found(&DamageError{File: v.s.journal.dir, Remedy: remedy, What: fmt.Sprintf("it ends with batch %d, but batches up to %d were acknowledged", r.lsn, acknowledged)})
		}
	}
	return nil
}

// database reads every value. Channels come before what belongs to them.
func (v *verifier) database() error {
	it, err := v.s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if v.report.Values++; v.report.Values%65536 == 0 {
			if err := v.ctx.Err(); err != nil {
				return err
			}
			if v.progress != nil {
				v.progress(v.report.Values)
			}
		}
		if err := v.value(it.Key(), it.Value()); err != nil {
			v.found(err)
		}
	}
	if err := it.Error(); err != nil {
		v.found(&DamageError{File: v.s.path(databaseName), What: err.Error(), Remedy: remedyTable})
	}
	return nil
}

func (v *verifier) value(key, value []byte) error {
	switch key[0] {
	case kindChannel:
		c := &checked{name: string(key[1:])}
		if err := readHead(key, value, &c.head); err != nil {
			return err
		}
		c.last = c.head.trimmed
		v.channels[c.head.id] = c
		v.report.Channels++
		return nil
	case kindMessage, kindLatest:
		return v.record(key, value)
	}
	if _, err := unseal(key, value); err != nil {
		return fmt.Errorf("key %x: %w", key, err)
	}
	if len(key) < 9 || key[0] != kindKey && key[0] != kindDeletion {
		return nil
	}
	c := v.channels[binary.BigEndian.Uint64(key[1:])]
	switch {
	case c == nil:
		return fmt.Errorf("key %x belongs to no channel", key)
	case key[0] == kindKey:
		c.keys++
	default:
		c.deletions++
	}
	return nil
}

func (v *verifier) record(key, value []byte) error {
	var r Record
	if err := readRecord(key[0], key, value, &r); err != nil {
		return err
	}
	c := v.channels[binary.BigEndian.Uint64(key[1:])]
	if c == nil {
		return fmt.Errorf("key %x belongs to no channel", key)
	}
	if key[0] == kindLatest {
		v.report.Keys++
		c.latest++
		return v.latest(c, &r)
	}
	v.report.Messages++
	want := c.last + 1
	c.last = r.Offset
	if r.Offset != want {
		return fmt.Errorf("channel %q: message %d is there, but %d should come first", c.name, r.Offset, want)
	}
	return nil
}

// latest holds a latest message against what its key says.
func (v *verifier) latest(c *checked, r *Record) error {
	key := stateKey(nil, c.head.id, r.Key)
	value, closer, err := v.s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("channel %q: key %q has a message but is not there", c.name, r.Key)
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	want := binary.BigEndian.AppendUint64(nil, r.Offset)
	if body, err := unseal(key, value); err != nil || !bytes.HasPrefix(body, want) {
		return fmt.Errorf("channel %q: key %q does not lead to its message %d", c.name, r.Key, r.Offset)
	}
	return nil
}

// heads holds what was seen of each channel against its head.
func (v *verifier) heads() {
	for _, c := range v.channels {
		h := &c.head
		if c.last != h.offset {
			v.found(fmt.Errorf("channel %q: messages %d to %d are missing", c.name, c.last+1, h.offset))
		}
		if c.latest != h.keys || c.keys != h.keys || c.deletions != h.deletions {
			v.found(fmt.Errorf("channel %q: its state has %d messages, %d keys and %d deletions, and should have %d and %d", c.name, c.latest, c.keys, c.deletions, h.keys, h.deletions))
		}
	}
}
