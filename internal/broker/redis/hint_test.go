package redis

import (
	"testing"

	"ringdown/internal/broker"
)

// TestHint: what was heard of while a follow did not continue is not forgotten: it
// is live only once it has come there. No check is needed for that.
func TestHint(t *testing.T) {
	t.Parallel()
	b := open(t, Options{Addresses: []string{"127.0.0.1:1"}})
	n := &node{Broker: b, t: t, heard: map[string][]heard{}}
	f := &follow{log: b.Open("c", kept).(*log), follower: &follower{n, "c", make(chan outcome, 1)}, topic: b.base("c")}
	b.follows.byTopic[f.topic] = []*follow{f}
	b.follows.joining[f] = struct{}{}
	news := func(offset string) string {
		return "R1k e " + offset + " 5 p q\nj{\"type\":\"e\",\"channel\":\"c\",\"data\":1}"
	}

	// Heard between the subscription and the answer where the log stands.
	b.hear(f.topic, news("7"))
	b.begin(f, point{epoch: "e", offset: 5, print: "a"}, nil)
	if f.state != catching || !f.queued || len(b.follows.catch) != 1 {
		t.Fatalf("it begins %v at %d, though %d was heard of", f.state, f.at.offset, f.hint)
	}
	// Heard while a page was read that does not have it yet.
	f.hint = 0
	b.hear(f.topic, news("9"))
	b.hear(f.topic, news("8"))
	page := func(head uint64) logPage {
		p := logPage{Page: broker.Page{Epoch: "e", Head: head, Oldest: 0}, print: "z"}
		p.last = point{epoch: "e", offset: head, print: "z"}
		return p
	}
	if b.advance(f, f.at, page(8)) || f.state != catching {
		t.Fatalf("at %d it is %v, though %d was heard of", f.at.offset, f.state, f.hint)
	}
	if !b.advance(f, f.at, page(9)) || f.state != live {
		t.Fatalf("at %d it is %v, and %d was heard of", f.at.offset, f.state, f.hint)
	}
	// One that is far ahead of where it stands.
	b.hear(f.topic, news("12"))
	if f.state != catching || f.hint != 12 {
		t.Fatalf("it is %v, and what was heard of is %d", f.state, f.hint)
	}
	b.cancel()
}
