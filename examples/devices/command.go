package devices

import (
	"encoding/json"
	"fmt"
	"time"
)

// Command is what a device is told to do.
type Command struct {
	ID       string          `json:"id"` // chosen by the sender
	Verb     string          `json:"verb"`
	Value    json.RawMessage `json:"value"`
	Deadline int64           `json:"deadline"` // in Unix ms
}

// Outcome is what came of a command.
type Outcome string

// A command begins as neither and ends as one of them.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
	Unknown Outcome = "unknown" // power failed in the middle of it
)

// Reply is a device's answer to a command.
type Reply struct {
	ID      string  `json:"id"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
}

// obey has do carry out a command if it is due, at most once, whatever happens to the
// process: the journal has the id before do is called. tell is false for a command whose
// reply is known to have been stored.
func obey(j Journal, c Command, now time.Time, do func(Command) error) (r Reply, tell bool, err error) {
	before, err := j.Begin(c)
	if err != nil {
		return r, false, err
	}
	r = Reply{ID: c.ID}
	switch {
	case before == nil && now.UnixMilli() > c.Deadline:
		late := now.Sub(time.UnixMilli(c.Deadline)).Round(time.Second)
		r.Outcome, r.Reason = Refused, fmt.Sprintf("it came %v after its deadline", late)
	case before == nil:
		r.Outcome = Done
		if err := do(c); err != nil {
			r.Outcome, r.Reason = Refused, err.Error()
		}
	case before.Outcome == "":
		r.Outcome, r.Reason = Unknown, "the power failed in the middle of it: look before you try again"
	default:
		r.Outcome, r.Reason = before.Outcome, before.Reason
		return r, !before.Told, nil
	}
	return r, true, j.End(r)
}
