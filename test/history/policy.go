package history

import (
	"slices"
	"time"
)

// Policy is what the server under test promises, and what the run had to
// contain. It is data only, so that it travels with a history.
type Policy struct {
	// Store names the store, for people.
	Store string `json:"store"`
	// Ends lists the faults (Event.Reason) that the store declares it may not
	// survive: after one of them a log may begin a new epoch. Nothing else may
	// end an epoch.
	Ends []string `json:"ends,omitempty"`
	// Kept is how many messages a log keeps at least, and KeptFor for how long.
	// Zero: without limit.
	Kept    int           `json:"kept,omitempty"`
	KeptFor time.Duration `json:"kept_for,omitempty"`
	// Lags says that there are several nodes, one of which may not have heard yet
	// of what another has accepted: then what a subscriber is told of the head
	// of a log says nothing about the log.
	Lags bool `json:"lags,omitempty"`
	// Dedupe is how long a dedupe key holds. Default 2 minutes.
	Dedupe time.Duration `json:"dedupe,omitempty"`
	// Revoked is how soon after Revoke deliveries must have ended. Default 2 s.
	Revoked time.Duration `json:"revoked,omitempty"`
	// Bounds limits the Samples. Nil: they are not judged.
	Bounds *Bounds `json:"bounds,omitempty"`
	// AtLeast is what must have happened for the run to count (see the Count
	// constants), and AtMost what may have happened at most.
	AtLeast map[string]int `json:"at_least,omitempty"`
	AtMost  map[string]int `json:"at_most,omitempty"`
}

// Bounds is what a server may take.
type Bounds struct {
	Base          int64 `json:"base"`           // bytes of memory with no connection
	PerConnection int64 `json:"per_connection"` // bytes
	Budget        int64 `json:"budget"`         // bytes of rings and caches
	// Rest is by how much descriptors and goroutines may exceed, in the last sample
	// of a server, those of its first, for each connection that it has more.
	Rest int `json:"rest"`
}

func (p *Policy) dedupe() time.Duration {
	if p.Dedupe == 0 {
		return 2 * time.Minute
	}
	return p.Dedupe
}

func (p *Policy) revoked() time.Duration {
	if p.Revoked == 0 {
		return 2 * time.Second
	}
	return p.Revoked
}

func (p *Policy) ends(fault string) bool { return slices.Contains(p.Ends, fault) }

// What is counted of a history.
const (
	CountPublished   = "published"   // acknowledged publications
	CountReceived    = "received"    // deliveries
	CountUnknown     = "unknown"     // publications without an answer
	CountRetried     = "retried"     // publications sent again under their dedupe key
	CountFaults      = "faults"      // faults injected
	CountMetTraffic  = "met traffic" // of them, those during which a publication was under way
	CountAway        = "away"        // connections that subscribers lost
	CountRecovered   = "recovered"   // of their returns, those without a loss
	CountUnrecovered = "unrecovered" // and those that were told of one
	CountGaps        = "gaps"        // gap signals
	CountEpochs      = "epochs"      // epochs that ended
	CountQuiet       = "quiet"       // moments of rest
	CountLogs        = "logs"        // logs that were read to the end
)
