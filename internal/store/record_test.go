package store

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func records() []Record {
	return []Record{
		{Prev: 0, Time: 1, Type: "e", Data: []byte("1"), total: 7},
		{Prev: 41, Time: 1_700_000_000_000, Type: "message", Channel: "chat:1", Key: "k", From: "ann", Data: []byte(`{"a":1}`), total: 1 << 40},
		{Prev: 9, Time: -5, Type: "bytes", Data: []byte{}, Binary: true},
		{Prev: 9, Type: "nothing"},
		{Prev: 9, Type: "gone", Key: "k", Data: []byte("null"), Deleted: true},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, want := range records() {
		var got Record
		if err := got.decode(want.append(nil)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	want := head{id: 1, offset: 9, trimmed: 4, total: 900, trimmedTotal: 400, time: 77, keys: 3, deletions: 1, forgotten: 2,
		keep: Keep{Messages: 5, Bytes: 6, For: time.Hour, State: true, StateFor: time.Minute}}
	var got head
	if err := got.decode(want.append(nil)); err != nil || got != want {
		t.Errorf("%+v became %+v, %v", want, got, err)
	}
}

// TestRecordDamage: no bit can be changed, and no byte left out, without notice.
func TestRecordDamage(t *testing.T) {
	for _, want := range records() {
		key := offsetKey(nil, kindMessage, 3, 7)
		value := seal(key, want.append(headroom(nil)))
		var r Record
		if err := readRecord(kindMessage, key, value, &r); err != nil || r.Offset != 7 {
			t.Fatal(r, err)
		}
		for bit := range len(value) * 8 {
			bad := bytes.Clone(value)
			bad[bit/8] ^= 1 << (bit % 8)
			if readRecord(kindMessage, key, bad, &r) == nil {
				t.Fatalf("bit %d was changed, and nobody noticed", bit)
			}
		}
		for n := range value {
			if readRecord(kindMessage, key, value[:n], &r) == nil {
				t.Fatalf("%d of %d bytes were taken for all", n, len(value))
			}
		}
		if other := offsetKey(nil, kindMessage, 3, 8); readRecord(kindMessage, other, value, &r) == nil {
			t.Fatal("a value was taken for that of another key")
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range records() {
		f.Add(r.append(nil))
	}
	h := head{id: 1, offset: 9, trimmed: 4}
	f.Add(h.append(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		var r, again Record
		if r.decode(p) == nil {
			if err := again.decode(r.append(nil)); err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		var h, same head
		if h.decode(p) == nil {
			if err := same.decode(h.append(nil)); err != nil || h != same {
				t.Errorf("%+v became %+v, %v", h, same, err)
			}
		}
	})
}

func FuzzJournal(f *testing.F) {
	whole := appendSegmentHeader(nil, 1, 42, 5)
	for lsn := uint64(5); lsn < 8; lsn++ {
		whole = appendEntry(whole, 42, entry{lsn, lsn - 1, bytes.Repeat([]byte{byte(lsn)}, int(lsn))})
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, p []byte) {
		file := segmentFile{segment: segment{number: 1, first: 5}, path: "1", salt: 42, data: p}
		if len(p) < segmentHeader {
			return
		}
		r := replayed{lsn: 4}
		next := uint64(5)
		damage, err := file.replay(&r, func(e entry) error {
			if e.lsn != next {
				t.Errorf("batch %d came in place of %d", e.lsn, next)
			}
			next++
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if damage == nil && r.lsn != next-1 {
			t.Errorf("it ends with %d, but %d was applied last", r.lsn, next-1)
		}
	})
}
