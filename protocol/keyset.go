package protocol

import "hash/maphash"

// keyset holds the names in all objects that are open at one point of a JSON
// text, to find the ones that come twice in the same object. One hash table
// serves all nesting levels: only the innermost object gains names, so they are
// taken out again in the opposite order, which in a table with linear probing is
// as simple as emptying the slot. The hash is seeded, so that nobody can choose
// names that collide.
type keyset struct {
	keys  []key    // outermost object first
	slots []uint32 // 1 + index in keys, 0 is empty; a power of two, at most half full
}

type key struct {
	name string
	hash uint32
	slot uint32 // where in slots it stands
}

// fewKeys is how many names may be open at a time before memory is allocated.
const fewKeys = 32

var seed = maphash.MakeSeed()

// add enters a name of the object whose names begin at keys[base], and reports
// whether it is the first of its kind there. The set keeps name.
func (k *keyset) add(name string, base int) bool {
	if 2*len(k.keys) >= len(k.slots) {
		k.grow()
	}
	h := uint32(maphash.String(seed, name)) ^ uint32(base)*0x9E3779B1
	mask := uint32(len(k.slots) - 1)
	i := h & mask
	for ; k.slots[i] != 0; i = (i + 1) & mask {
		at := int(k.slots[i] - 1)
		if e := &k.keys[at]; e.hash == h && at >= base && e.name == name {
			return false
		}
	}
	k.keys = append(k.keys, key{name: name, hash: h, slot: i})
	k.slots[i] = uint32(len(k.keys))
	return true
}

// cut takes out all names from keys[base] on: their object has ended.
func (k *keyset) cut(base int) {
	for i := len(k.keys) - 1; i >= base; i-- {
		k.slots[k.keys[i].slot] = 0
	}
	k.keys = k.keys[:base]
}

// grow makes or doubles the table and enters all names again, in their order.
func (k *keyset) grow() {
	slots := make([]uint32, max(2*fewKeys, 2*len(k.slots)))
	mask := uint32(len(slots) - 1)
	for at := range k.keys {
		e := &k.keys[at]
		i := e.hash & mask
		for slots[i] != 0 {
			i = (i + 1) & mask
		}
		e.slot, slots[i] = i, uint32(at+1)
	}
	k.slots = slots
}
