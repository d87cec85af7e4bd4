package inbox

import "slices"

// Marks is what of a user's notifications is read: all up to an offset, and some above
// it. Offsets mean something in their epoch only.
type Marks struct {
	Epoch string   `json:"epoch"`
	Upto  uint64   `json:"upto"`
	Also  []uint64 `json:"also"` // ascending, all above Upto
}

// maxAlso is how many may be read above Upto. What is more than that moves Upto: who
// has read two hundred of the newest has no use for the older ones.
const maxAlso = 200

// read is m with more that is read. Devices say what they know in any order and late, so
// nothing that is read becomes unread again, but for another epoch, in which all is new.
func (m Marks) read(epoch string, upto uint64, offsets []uint64) Marks {
	if m.Epoch != epoch {
		m = Marks{Epoch: epoch}
	}
	next := Marks{Epoch: epoch, Upto: max(m.Upto, upto), Also: append(append([]uint64{}, m.Also...), offsets...)}
	slices.Sort(next.Also)
	next.Also = slices.Compact(next.Also)
	if n := len(next.Also); n > maxAlso {
		next.Upto = max(next.Upto, next.Also[n-maxAlso-1])
	}
	above, _ := slices.BinarySearch(next.Also, next.Upto+1)
	next.Also = next.Also[above:] // never nil, which JSON calls null
	return next
}

func (m Marks) equal(o Marks) bool {
	return m.Epoch == o.Epoch && m.Upto == o.Upto && slices.Equal(m.Also, o.Also)
}
