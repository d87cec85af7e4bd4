package session

import (
	"maps"
	"sync"
	"sync/atomic"

	"ringdown/protocol"
)

// Metrics counts what the sessions of a node did. Fields may be read at any time.
type Metrics struct {
	Opened        atomic.Uint64 // sessions
	Refused       atomic.Uint64 // connections that Admit turned away
	TokensRefused atomic.Uint64
	Received      atomic.Uint64 // messages from clients
	Panics        atomic.Uint64 // in handlers, hooks and deliveries

	carriers sync.Map // *carrier by name

	mu     sync.Mutex
	errors map[protocol.Code]uint64 // answers, by code
}

// carrier counts the sessions of one transport. There are as many as transports.
type carrier struct {
	name   string
	open   atomic.Int64
	opened atomic.Uint64
}

func (m *Metrics) carrier(name string) *carrier {
	c, ok := m.carriers.Load(name)
	if !ok {
		c, _ = m.carriers.LoadOrStore(name, &carrier{name: name})
	}
	return c.(*carrier)
}

// Transports yields each transport that had sessions: how many are open, and how
// many were opened.
func (m *Metrics) Transports(visit func(name string, open int64, opened uint64)) {
	m.carriers.Range(func(_, v any) bool {
		c := v.(*carrier)
		visit(c.name, c.open.Load(), c.opened.Load())
		return true
	})
}

// Metrics returns the server's counters.
func (s *Server) Metrics() *Metrics { return &s.metrics }

func (m *Metrics) countError(c protocol.Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.errors == nil {
		m.errors = make(map[protocol.Code]uint64)
	}
	m.errors[c]++
}

// Errors returns how many error answers were given, by their code.
func (m *Metrics) Errors() map[protocol.Code]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.errors)
}
