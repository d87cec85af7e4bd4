package channel

import (
	"cmp"
	"encoding/json"
	"time"
)

// Op is what a client wants to do with a channel.
type Op uint8

// The operations that a declaration has a rule for.
const (
	OpSubscribe Op = iota
	OpPublish
	OpPresence
	OpHistory
)

// String returns the name that configuration files and capabilities use.
func (o Op) String() string {
	return [...]string{"subscribe", "publish", "presence", "history"}[o]
}

// Request is what a rule is asked about.
type Request struct {
	Op         Op
	User       string                // empty: not signed in
	Claims     func() map[string]any // decoded at the first need; nil or returning nil: no claims
	Params     map[string]string     // what the pattern's {names} matched
	Channel    string
	Event      string // only for OpPublish
	Connection string
	Budget     *Budget // of the message that the request is part of; nil: without end
}

// Rule decides about a Request. Implementations are safe for concurrent use.
type Rule interface {
	// Allow says whether the request may go on. An error means that the rule
	// could not be decided, which refuses; its text is for the client. ErrBudget
	// means that the request's budget is spent.
	Allow(r *Request) (bool, error)
	// String returns the rule as written, for refusals and documents.
	String() string
}

// Word reports whether r is one of the rules that are single words, which ask
// for nothing but the user.
func Word(r Rule) bool { _, ok := r.(word); return ok }

type word string

func (w word) String() string { return string(w) }

func (w word) Allow(r *Request) (bool, error) {
	switch w {
	case "anyone":
		return true, nil
	case "signed_in":
		return r.User != "", nil
	}
	return false, nil
}

// The rules that are single words.
var (
	Anyone   Rule = word("anyone")
	SignedIn Rule = word("signed_in")
	None     Rule = word("none")
)

// Validator checks the payload of an event.
type Validator interface {
	// Validate returns nil, or an error whose text tells the client which part
	// of data is wrong and why, or ErrBudget when b does not suffice to say so.
	// data is valid JSON and is not kept. A nil b has no end.
	Validate(data []byte, b *Budget) error
}

// Event is one kind of message that a channel carries.
type Event struct {
	Name, About string
	Schema      Validator       // nil: any JSON value
	SchemaJSON  json.RawMessage // the schema as written, for documents
	SchemaSteps int             // what judging one message may take. Default DefaultSchemaSteps
	Ephemeral   bool            // never kept, first to be skipped for a slow reader
}

// DefaultSchemaSteps is some 20 ms of one core, and about four times what the
// dearest ordinary message of 64 KiB takes.
const DefaultSchemaSteps = 400_000

// Judging returns the budget for one message.
func (e *Event) Judging(most int) Budget {
	return NewBudget(min(most, cmp.Or(e.SchemaSteps, DefaultSchemaSteps)))
}

// Call is a question to the application that is declared.
type Call struct {
	Name, About            string
	Data, Result           Validator       // nil: any JSON value
	DataJSON, ResultJSON   json.RawMessage // the schemas as written, for documents
	DataSteps, ResultSteps int             // what judging one may take. Default DefaultSchemaSteps
}

// History says how much of the log a channel keeps. Zero fields do not limit.
type History struct {
	Messages int
	Bytes    int64
	For      time.Duration
}

// State makes a channel keep the latest message of each key.
type State struct {
	For time.Duration // a key nobody wrote to for this long is dropped; 0: never
}

// Buffer bounds the ring of a channel on one node.
type Buffer struct {
	Messages int // default 1,024
	Bytes    int // default 1 MiB
}

// The bounds of a ring when the declaration names none.
const (
	DefaultBufferMessages = 1024
	DefaultBufferBytes    = 1 << 20
)

// DefaultResume is longer than what takes a phone to find another network.
const DefaultResume = 2 * time.Minute

// Allow names a rule for each operation.
type Allow struct {
	Subscribe, Publish, Presence, History Rule
	Lines                                 [4]int // by Op, where the rules stand in the configuration file; 0: unknown
}

// Declaration is one entry of the channel list: a name or pattern and what
// holds for every channel that it matches. It is not changed after NewTable.
type Declaration struct {
	Name     string // as written, such as "chat:{room}"
	About    string
	History  *History // nil: nothing is kept
	State    *State   // nil: not a state channel
	Presence bool
	ShowFrom bool              // messages of clients carry the user in "from"
	Events   map[string]*Event // nil: any event is accepted
	Allow    Allow             // missing rules are None; a missing History is Subscribe's
	Buffer   Buffer
	// Resume is how far back somebody recovers who may subscribe but not read history:
	// older messages are not given. Default 2 min.
	Resume time.Duration
	Line   int // in the configuration file; 0: unknown

	pattern pattern
	// asSubscribe: no rule is written for history, so that of subscribe holds.
	asSubscribe bool
}

// Kept reports whether accepted messages get an offset.
func (d *Declaration) Kept() bool { return d.History != nil || d.State != nil }

// Params returns what the parameters of the declared name stand for in the name
// of a channel that matches it, nil if there are none.
func (d *Declaration) Params(name string) map[string]string { return d.pattern.values(name) }

// Rule returns the rule for op.
func (d *Declaration) Rule(op Op) Rule {
	a := &d.Allow
	return [...]Rule{OpSubscribe: a.Subscribe, OpPublish: a.Publish, OpPresence: a.Presence, OpHistory: a.History}[op]
}

// RuleName names the rule for op as logs, metrics and clients know it:
// chat:{room}.allow.publish. What has no rule of its own has the name of the one
// that holds for it.
func (d *Declaration) RuleName(op Op) string { return d.Name + ".allow." + d.ruled(op).String() }

// RuleLine returns the line of the rule for op in the configuration file, or
// that of the channel if the rule is not written; 0: unknown.
func (d *Declaration) RuleLine(op Op) int {
	return cmp.Or(d.Allow.Lines[d.ruled(op)], d.Line)
}

// ruled returns the operation whose rule holds for op.
func (d *Declaration) ruled(op Op) Op {
	if op == OpHistory && d.asSubscribe {
		return OpSubscribe
	}
	return op
}

// HistoryAsSubscribe reports that no rule is written for history, so that who may
// not subscribe may not read it either.
func (d *Declaration) HistoryAsSubscribe() bool { return d.asSubscribe }

// Event returns the declared event of that name. A channel that declares no
// events accepts any name, and then returns nil and true.
func (d *Declaration) Event(name string) (*Event, bool) {
	if d.Events == nil {
		return nil, true
	}
	e, ok := d.Events[name]
	return e, ok
}

func (d *Declaration) fillDefaults() {
	// A table may be made of the same declaration again, when this is filled in.
	d.asSubscribe = d.asSubscribe || d.Allow.History == nil
	a := &d.Allow
	a.Subscribe, a.Publish, a.Presence = cmp.Or(a.Subscribe, None), cmp.Or(a.Publish, None), cmp.Or(a.Presence, None)
	a.History = cmp.Or(a.History, a.Subscribe)
	d.Resume = cmp.Or(d.Resume, DefaultResume)
	d.Buffer.Messages = cmp.Or(max(d.Buffer.Messages, 0), DefaultBufferMessages)
	d.Buffer.Bytes = cmp.Or(max(d.Buffer.Bytes, 0), DefaultBufferBytes)
}
