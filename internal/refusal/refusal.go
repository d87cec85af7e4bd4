// Package refusal is how the server says what it refused, and why: every message,
// request and connection that was turned away or cut off is one Refusal, whichever
// door it came to. What the client is told, the line in the log and the count in
// the metrics are all made of it, so that they name the same reason.
//
// Nothing secret goes in: no token, no payload, no text of a rule.
package refusal

import (
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"ringdown/protocol"
)

// The doors that a refusal may be at.
const (
	WebSocket = "websocket"
	SSE       = "sse"
	Poll      = "poll"
	REST      = "rest"
	Go        = "go" // the Go API
	Listener  = "listener"
)

// Refusal is one thing that was refused. Only Err is needed.
type Refusal struct {
	Door string
	// Err is what the client is told: a *protocol.Error. Anything else is an
	// internal error, of which the client hears nothing more.
	Err error
	// Cause is what stands behind Err, for the log alone; nil: Err says it all.
	Cause error
	// Action is what was asked for: subscribe, publish, presence, history, connect,
	// a call, or the route of a REST request.
	Action     string
	User       string
	Channel    string
	Connection string
	Address    netip.Addr
	// Closed is the code that the connection was closed with; 0: it goes on.
	Closed protocol.CloseCode
}

// Name returns the name under which an error is counted and its lines are
// limited: the limit that was reached, the reason, "rule" for a rule, or else the
// code. There are only as many names as the code of this program has.
func Name(e *protocol.Error) string {
	switch {
	case e.Limit != "":
		return e.Limit
	case e.Rule != "":
		return "rule"
	case e.Reason != "":
		return e.Reason
	}
	return string(e.Code)
}

// How many lines the log is given of one reason: so many at once, and after that
// one in so long.
const (
	linesAtOnce = 10
	lineEvery   = time.Second
	// mostNames bounds the memory if a name were ever made of what a client sent.
	mostNames = 512
)

// Recorder counts refusals and logs them. A nil Recorder does nothing. All
// methods are safe for concurrent use.
type Recorder struct {
	log *slog.Logger

	mu    sync.Mutex
	names map[string]*lines
	count map[Key]uint64
}

// Key is what refusals are counted by.
type Key struct {
	Door string
	Code protocol.Code
	Name string
}

// lines limits the lines of one name, by GCRA.
type lines struct {
	due     time.Time
	leftOut uint64
}

// NewRecorder returns a recorder that logs to log.
func NewRecorder(log *slog.Logger) *Recorder {
	return &Recorder{log: log, names: map[string]*lines{}, count: map[Key]uint64{}}
}

// Note records a refusal.
func (r *Recorder) Note(x Refusal) {
	if r == nil {
		return
	}
	e := protocol.AsError(x.Err)
	if e == nil {
		return
	}
	leftOut, ok := r.take(Key{x.Door, e.Code, Name(e)})
	if ok {
		r.write(&x, e, leftOut)
	}
}

// take counts, and says whether there may be a line, and how many there were not
// since the last one.
func (r *Recorder) take(k Key) (leftOut uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.names[k.Name]
	if l == nil {
		if len(r.names) >= mostNames {
			k.Name = "other"
		}
		if l = r.names[k.Name]; l == nil {
			l = new(lines)
			r.names[k.Name] = l
		}
	}
	r.count[k]++
	now := time.Now()
	due := l.due
	if due.Before(now) {
		due = now
	}
	if due = due.Add(lineEvery); due.Sub(now) > linesAtOnce*lineEvery {
		l.leftOut++
		return 0, false
	}
	leftOut, l.leftOut, l.due = l.leftOut, 0, due
	return leftOut, true
}

func (r *Recorder) write(x *Refusal, e *protocol.Error, leftOut uint64) {
	attrs := make([]any, 0, 28)
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, name, clip(value))
		}
	}
	add("reason", Name(e))
	add("code", string(e.Code))
	add("door", x.Door)
	add("action", x.Action)
	add("rule", e.Rule)
	add("limit", e.Limit)
	add("user", x.User)
	if x.Address.IsValid() {
		add("address", x.Address.String())
	}
	add("channel", x.Channel)
	add("connection", x.Connection)
	if x.Closed != 0 {
		attrs = append(attrs, "closed", int(x.Closed))
	}
	add("message", e.Message)
	if x.Cause != nil {
		add("cause", x.Cause.Error())
	} else if said := x.Err.Error(); said != e.Error() {
		add("cause", said)
	}
	if leftOut > 0 {
		attrs = append(attrs, "left_out", leftOut)
	}
	r.log.Info("refused", attrs...)
}

// Counts returns how often what was refused, since the start.
func (r *Recorder) Counts() map[Key]uint64 {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.count)
}

// clip keeps what a client sent from filling the log.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
