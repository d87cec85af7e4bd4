package store

import (
	"encoding/binary"
	"testing"
)

// TestFormerFormat: a store of format 1 knew no other number of channels than
// that of the newest.
func TestFormerFormat(t *testing.T) {
	v := binary.BigEndian.AppendUint64(headroom(nil), 7)
	v = seal(storeKey, binary.BigEndian.AppendUint64(v, 5))
	lsn, c, err := decodeCounters(v)
	if lsn != 7 || c != (counters{newest: 5, channels: 5}) || err != nil {
		t.Errorf("%d, %+v, %v", lsn, c, err)
	}
	lsn, c, err = decodeCounters(counters{newest: 9, channels: 2}.encode(8))
	if lsn != 8 || c != (counters{newest: 9, channels: 2}) || err != nil {
		t.Errorf("%d, %+v, %v", lsn, c, err)
	}
}
