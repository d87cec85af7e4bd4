package reactor

// backlog is bytes that were not taken yet, in order: references to shared
// memory and copies. Copies are as long as what they hold, and not taken from a
// pool: many peers may stop reading at once, and then the length is what counts.
type backlog struct {
	parts [][]byte
	own   bool // the last part is our copy and may grow
	bytes int
}

// add appends p, by reference if it is shared and else as a copy. Copies that
// follow each other share their memory.
func (b *backlog) add(p []byte, shared bool) {
	if len(p) == 0 {
		return
	}
	b.bytes += len(p)
	last := len(b.parts) - 1
	switch {
	case shared:
		b.parts = append(b.parts, p)
	case b.own && last >= 0:
		b.parts[last] = append(b.parts[last], p...)
	default:
		b.parts = append(b.parts, append([]byte(nil), p...))
	}
	b.own = !shared
}

// first returns the bytes that come next, nil when there are none.
func (b *backlog) first() []byte {
	if len(b.parts) == 0 {
		return nil
	}
	return b.parts[0]
}

// written takes n bytes off the first part.
func (b *backlog) written(n int) {
	b.bytes -= n
	if b.parts[0] = b.parts[0][n:]; len(b.parts[0]) == 0 {
		b.parts[0] = nil
		b.parts = b.parts[1:]
	}
}
