package websocket

import (
	"maps"
	"sync"

	"ringdown/protocol"
)

// Stats says what a handler did since it was made.
type Stats struct {
	Upgrades  uint64            // handshakes that became connections
	Refusals  map[int]uint64    // handshakes that did not, by HTTP status
	Closes    map[uint16]uint64 // connections that ended, by close code, whoever sent it; 1006: without one
	Panics    uint64            // of the app; each cost its connection
	FramesIn  uint64
	BytesIn   uint64 // frame headers included
	FramesOut uint64 // without those that many connections share
	BytesOut  uint64 // of all frames, headers included
}

// noClose counts connections that ended without a close frame. The code never
// travels (RFC 6455 §7.4.1).
const noClose = 1006

// tally counts what is rare enough for a lock.
type tally struct {
	mu       sync.Mutex
	upgrades uint64
	refusals map[int]uint64
	closes   map[uint16]uint64
	panics   uint64
}

func (t *tally) upgraded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.upgrades++
}

func (t *tally) refused(status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusals == nil {
		t.refusals = make(map[int]uint64)
	}
	t.refusals[status]++
}

func (t *tally) closed(code uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closes == nil {
		t.closes = make(map[uint16]uint64)
	}
	t.closes[known(code)]++
}

func (t *tally) panicked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.panics++
}

// known bounds the number of codes that are counted apart: a client may close
// with any of two thousand. The registered ones that are not ours count as 3000,
// the private ones as 4999.
func known(code uint16) uint16 {
	switch {
	case code == 0:
		return noClose
	case code >= 3000 && code < 4000:
		return 3000
	case code >= 4000 && protocol.CloseCode(code).Reason() == "":
		return 4999
	}
	return code
}

// Stats returns what was counted so far. Safe for concurrent use.
func (h *Handler) Stats() Stats {
	t := &h.tally
	t.mu.Lock()
	s := Stats{Upgrades: t.upgrades, Refusals: maps.Clone(t.refusals), Closes: maps.Clone(t.closes), Panics: t.panics}
	t.mu.Unlock()
	for i := range h.lanes {
		l := &h.lanes[i]
		s.FramesIn += l.framesIn.Load()
		s.BytesIn += l.bytesIn.Load()
		s.FramesOut += l.framesOut.Load()
		s.BytesOut += l.bytesOut.Load()
	}
	return s
}
