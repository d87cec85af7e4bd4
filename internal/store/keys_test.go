package store

import (
	"bytes"
	"testing"
)

// FuzzKeys (B09): no two names share a key of the database, nor do two
// idempotency keys of whatever names, nor is the one kind taken for the other.
func FuzzKeys(f *testing.F) {
	f.Add("a", "bc", "ab", "c")
	f.Add("a", "\x00b", "a\x00", "b")
	f.Add("chat:42", "", "chat:4", "2")
	f.Add("D\x00\x00\x00\x01a", "", "a", "")
	f.Fuzz(func(t *testing.T, a, x, b, y string) {
		if !validName(a) || !validName(b) {
			return
		}
		if bytes.Equal(channelKey(nil, a), channelKey(nil, b)) != (a == b) {
			t.Errorf("the channels %q and %q", a, b)
		}
		if bytes.Equal(dedupeKey(nil, 7, a, x), dedupeKey(nil, 7, b, y)) != (a == b && x == y) {
			t.Errorf("%q of %q, and %q of %q", x, a, y, b)
		}
		if bytes.Equal(stateKey(nil, 7, x), stateKey(nil, 7, y)) != (x == y) {
			t.Errorf("the keys %q and %q", x, y)
		}
		if bytes.Equal(channelKey(nil, a), dedupeKey(nil, 7, b, y)) {
			t.Errorf("the channel %q, and %q of %q", a, y, b)
		}
		if !bytes.HasPrefix(dedupeKey(nil, 7, a, x), minuteKey(7)) || bytes.HasPrefix(dedupeKey(nil, 8, a, x), minuteKey(7)) {
			t.Errorf("%q of %q is not in its minute", x, a)
		}
	})
}
