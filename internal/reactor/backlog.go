package reactor

// backlog is what a socket has not taken yet, in order.
type backlog struct {
	parts [][]byte
	own   bool // the last part is our copy and may grow
	bytes int
}

// addCopy appends a copy of p. Copies that follow each other share their memory.
func (b *backlog) addCopy(p []byte) {
	b.bytes += len(p)
	if n := len(b.parts); b.own && n > 0 {
		b.parts[n-1] = append(b.parts[n-1], p...)
		return
	}
	b.parts = append(b.parts, append([]byte(nil), p...))
	b.own = true
}

// addShared appends a reference to p.
func (b *backlog) addShared(p []byte) {
	if len(p) == 0 {
		return
	}
	b.bytes += len(p)
	b.parts = append(b.parts, p)
	b.own = false
}

// written takes n bytes off the first part.
func (b *backlog) written(n int) {
	b.bytes -= n
	if b.parts[0] = b.parts[0][n:]; len(b.parts[0]) == 0 {
		b.parts[0] = nil
		b.parts = b.parts[1:]
	}
}
