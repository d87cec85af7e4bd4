package load

import (
	"fmt"
	"slices"
)

// dialect is how one kind of server wants to be spoken to. Messages are the text
// of WebSocket messages, without frame headers. A dialect has no state: one value
// serves every connection.
type dialect interface {
	// path is where the server upgrades.
	path() string
	// greets tells that a connection may subscribe only once the server has said
	// so, in a message that control calls welcome.
	greets() bool
	// appendHello appends what opens a connection, or nothing.
	appendHello(dst []byte) []byte
	// appendSubscribe appends the request for a channel, from now on, or from a
	// position that the server gave.
	appendSubscribe(dst []byte, channel string, since []byte) []byte
	// position returns, from the answer to a subscription, what appendSubscribe
	// takes to come back to there. It is nil where the server has no such thing.
	position(p []byte) []byte
	// appendPublish appends a publication. data is a JSON value. n counts the
	// publisher's messages, for servers that want requests numbered.
	appendPublish(dst []byte, channel string, data []byte, n uint32) []byte
	// control judges a message that carries no payload of ours; answer is what to
	// send back, or nil.
	control(p []byte) (what meaning, answer []byte)
	// batches tells that one message may hold several publications.
	batches() bool
}

// meaning is what a message from the server that is no delivery says.
type meaning uint8

const (
	nothing    meaning = iota // nothing that a load client cares for
	welcome                   // the connection is open
	subscribed                // the one subscription of the connection is in place
	refused                   // the server will not do what was asked
)

var dialects = map[string]dialect{
	"ringdown":   ringdown{},
	"raw":        raw{},
	"centrifuge": centrifuge{},
}

// Dialects lists the names that Target.Dialect may have, sorted.
func Dialects() []string {
	names := make([]string, 0, len(dialects))
	for name := range dialects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Resumes reports whether servers of a dialect keep messages for those who come
// back, as Recover needs.
func Resumes(dialect string) bool { return dialect != "raw" }

func dialectNamed(name string) (dialect, error) {
	d, ok := dialects[name]
	if !ok {
		return nil, fmt.Errorf("load: no dialect %q; there are %v", name, Dialects())
	}
	return d, nil
}
