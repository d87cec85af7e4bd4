package history

import (
	"fmt"
	"strings"
	"time"
)

// Kind says what happened.
type Kind uint8

// The kinds, and which fields of an Event they use besides At.
const (
	// PubInvoke: Client begins to publish message ID on Channel, with the dedupe
	// key Key if any. A retry is another PubInvoke of the same ID. Recorded before
	// anything is sent.
	PubInvoke Kind = iota + 1
	// PubOK: the answer to Client's PubInvoke of ID came: Epoch, Offset.
	PubOK
	// PubFail: it was refused (Reason), and that for certain: it is not in the log.
	PubFail
	// PubUnknown: no answer will come. It may be in the log now, later, or never.
	PubUnknown
	// SubOK: Client follows Channel in Epoch, and delivery begins after Offset.
	// Since is what it asked for, nil on a fresh start; then Recovered and Reason
	// are the answer. Head is the newest offset, as far as the server said, which
	// was true at some time after it was Asked; 0 is the time of the event.
	SubOK
	// Recv: Client was given ID at Epoch, Offset, with Prev.
	Recv
	// Gap: Client was told that it cannot be given From..To, both included (Reason).
	Gap
	// Away: Client lost its connection (Reason) and means to come back.
	Away
	// SubEnd: Client follows Channel no longer, and owes nothing.
	SubEnd
	// Hist: the log of Channel, read when all was over, has ID at Epoch, Offset.
	Hist
	// HistEnd: that was all of it: everything after From is still kept, and Offset
	// is its head.
	HistEnd
	// Grant and Revoke: Client may follow Channel from before now, or no longer.
	Grant
	Revoke
	// Fault: Reason was done to Client (a server, a line). Heal: it is over.
	Fault
	Heal
	// Quiet: no more faults and publications come, and clients were given time to
	// catch up.
	Quiet
	// Sample: what server Client took: Usage.
	Sample
)

var kindNames = [...]string{"", "pub_invoke", "pub_ok", "pub_fail", "pub_unknown", "sub_ok", "recv", "gap", "away", "sub_end",
	"hist", "hist_end", "grant", "revoke", "fault", "heal", "quiet", "sample"}

// String returns the name, as it stands in a file.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// MarshalText implements encoding.TextMarshaler.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if i > 0 && name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no kind of event", text)
}

// Event is one thing that happened. Which fields mean something stands with the
// kinds. Events share the memory of their strings.
type Event struct {
	At        time.Duration `json:"at"` // since the Recorder was made
	Kind      Kind          `json:"kind"`
	Client    string        `json:"client,omitempty"`
	Channel   string        `json:"channel,omitempty"`
	ID        string        `json:"id,omitempty"` // of a message; never used for two
	Key       string        `json:"key,omitempty"`
	Epoch     string        `json:"epoch,omitempty"`
	Offset    uint64        `json:"offset,omitempty"`
	Prev      uint64        `json:"prev,omitempty"`
	From      uint64        `json:"from,omitempty"`
	To        uint64        `json:"to,omitempty"`
	Head      uint64        `json:"head,omitempty"`
	Since     *Position     `json:"since,omitempty"`
	Asked     time.Duration `json:"asked,omitempty"`
	Recovered bool          `json:"recovered,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Usage     *Usage        `json:"usage,omitempty"`
}

// Position is a place in a log.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Usage is what a server process takes.
type Usage struct {
	Resident    int64 `json:"resident"` // bytes of memory that are its own
	Connections int   `json:"connections"`
	Descriptors int   `json:"descriptors"`
	Goroutines  int   `json:"goroutines"`
}

// String is for violations: short, with what identifies the event.
func (e *Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.6f s %s", e.At.Seconds(), e.Kind)
	part := func(name, value string) {
		if value != "" {
			b.WriteString(" " + name + value)
		}
	}
	part("", e.Client)
	part("on ", e.Channel)
	part("id ", e.ID)
	part("key ", e.Key)
	if e.Epoch != "" {
		fmt.Fprintf(&b, " at %s/%d", e.Epoch, e.Offset)
	}
	switch e.Kind {
	case Recv:
		fmt.Fprintf(&b, " prev %d", e.Prev)
	case Gap:
		fmt.Fprintf(&b, " %d..%d", e.From, e.To)
	case SubOK:
		if e.Since != nil {
			fmt.Fprintf(&b, " since %s/%d recovered %v", e.Since.Epoch, e.Since.Offset, e.Recovered)
		}
	case HistEnd:
		fmt.Fprintf(&b, " kept after %d", e.From)
	}
	part("", e.Reason)
	return b.String()
}
