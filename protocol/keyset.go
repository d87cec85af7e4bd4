package protocol

import "hash/maphash"

// keyset holds the names in all objects that are open at one point of a JSON
// text, to find the ones that come twice in the same object. One hash table
// serves all nesting levels: only the innermost object gains names, so they are
// taken out again in the opposite order, which in a table with linear probing is
// as simple as emptying the slot. The hash is seeded, so that nobody can choose
// names that collide. The zero value is empty, and allocates only once more than
// fewKeys names are open.
type keyset struct {
	n    int // names, the outermost object's first
	few  [fewKeys]key
	slot [2 * fewKeys]uint32 // 1 + index in few, 0 is empty

	// What takes the place of few and slot once they are full. These two fields
	// never point at the arrays above: the compiler would put them on the heap.
	many  []key
	slots []uint32 // a power of two, twice as long as many
}

type key struct {
	name string
	hash uint32
	slot uint32 // where its index stands
}

const fewKeys = 32

var seed = maphash.MakeSeed()

func (k *keyset) tables() (keys []key, slots []uint32) {
	if k.many != nil {
		return k.many, k.slots
	}
	return k.few[:], k.slot[:]
}

// add enters a name of the object whose names begin at index base, and reports
// whether it is the first of its kind there. The set keeps name.
func (k *keyset) add(name string, base int) bool {
	keys, slots := k.tables()
	if k.n == len(keys) {
		keys, slots = k.grow()
	}
	h := uint32(maphash.String(seed, name)) ^ uint32(base)*0x9E3779B1
	mask := uint32(len(slots) - 1)
	i := h & mask
	for ; slots[i] != 0; i = (i + 1) & mask {
		at := int(slots[i] - 1)
		if keys[at].hash == h && at >= base && keys[at].name == name {
			return false
		}
	}
	keys[k.n] = key{name: name, hash: h, slot: i}
	k.n++
	slots[i] = uint32(k.n)
	return true
}

// cut takes out all names from index base on: their object has ended.
func (k *keyset) cut(base int) {
	keys, slots := k.tables()
	for k.n > base {
		k.n--
		slots[keys[k.n].slot] = 0
	}
}

// grow makes the tables twice as big and enters all names again, in their order.
func (k *keyset) grow() ([]key, []uint32) {
	old, _ := k.tables()
	keys, slots := make([]key, 2*len(old)), make([]uint32, 4*len(old))
	copy(keys, old)
	mask := uint32(len(slots) - 1)
	for at := range keys[:k.n] {
		i := keys[at].hash & mask
		for slots[i] != 0 {
			i = (i + 1) & mask
		}
		keys[at].slot, slots[i] = i, uint32(at+1)
	}
	k.many, k.slots = keys, slots
	return keys, slots
}
