package reactor

// table is the loop's connections: slots in chunks that never move, so that a
// *Conn stays valid, growing never copies, and a slot is found by its index.
type table struct {
	chunks []*[chunk]Conn
	free   *Conn // through nextFree
	size   int
}

const chunk = 256

// take returns an empty slot, which is l's from now on.
func (t *table) take(l *Loop) *Conn {
	if t.free == nil {
		c := new([chunk]Conn)
		for i := chunk - 1; i >= 0; i-- {
			c[i].index = uint32(len(t.chunks)*chunk + i)
			c[i].next, t.free = t.free, &c[i]
		}
		t.chunks = append(t.chunks, c)
	}
	c := t.free
	t.free, c.next = c.next, nil
	c.loop = l
	t.size++
	return c
}

// give takes a slot back. Its generation moves on, so that an event for what it
// held is told from one for what it will hold.
func (t *table) give(c *Conn) {
	*c = Conn{index: c.index, generation: c.generation + 1, next: t.free}
	t.free = c
	t.size--
}

// find returns the connection at index if it is still of that generation.
func (t *table) find(index, generation uint32) *Conn {
	if int(index) >= len(t.chunks)*chunk {
		return nil
	}
	c := &t.chunks[index/chunk][index%chunk]
	if c.loop == nil || c.generation != generation {
		return nil
	}
	return c
}

func (t *table) each(fn func(c *Conn)) {
	for _, ch := range t.chunks {
		for i := range ch {
			if ch[i].loop != nil && !ch[i].closed {
				fn(&ch[i])
			}
		}
	}
}
