package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// header is the first line of a file.
type header struct {
	Format int    `json:"ringdown_history"`
	Seed   uint64 `json:"seed"`
	Policy Policy `json:"policy"`
}

const format = 1

// Write writes a history as NDJSON: a line with the policy and the seed of the
// run, then one line for each event.
func Write(w io.Writer, events []Event, p Policy, seed uint64) error {
	b := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(b)
	if err := enc.Encode(header{Format: format, Seed: seed, Policy: p}); err != nil {
		return err
	}
	for i := range events {
		if err := enc.Encode(&events[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Read reads what Write wrote. Events must be in the order of their times.
func Read(r io.Reader) (events []Event, p Policy, seed uint64, err error) {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	var h header
	if err := dec.Decode(&h); err != nil {
		return nil, p, 0, fmt.Errorf("the first line is not the header of a history: %w", err)
	}
	if h.Format != format {
		return nil, p, 0, fmt.Errorf("this is not a history of format %d", format)
	}
	for {
		var e Event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return events, h.Policy, h.Seed, nil
		} else if err != nil {
			return nil, p, 0, fmt.Errorf("event %d: %w", len(events)+1, err)
		}
		if n := len(events); n > 0 && e.At < events[n-1].At {
			return nil, p, 0, fmt.Errorf("event %d is earlier than the one before it", n+1)
		}
		events = append(events, e)
	}
}
