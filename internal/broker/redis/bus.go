package redis

import (
	"context"
	"slices"
	"strings"

	"ringdown/protocol"
)

// Messages between nodes are published to the topic of the node they are for, or
// to the one that all listen to: "R1c", who sends it, a newline, the payload.
const (
	controlHead = "R1c "
	maxNodeName = 64
	maxControl  = 16 << 20
)

// Send sends payload to a node, or to all others.
func (b *Broker) Send(ctx context.Context, to string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	topic := b.shared()
	if to != "" {
		names, err := b.Nodes(ctx)
		if err != nil {
			return err
		}
		if !slices.Contains(names, to) {
			return protocol.Errorf(protocol.CodeNotFound, "there is no node %q", to)
		}
		topic += to
	}
	c := b.client()
	if c == nil {
		return b.failure(errDown)
	}
	publish := c.B().Publish().Channel(topic).Message(controlHead + b.node + "\n" + string(payload)).Build()
	// A Cluster would take it anywhere; this slot has somebody who is there.
	if err := c.Do(ctx, publish.SetSlot(topic)).Error(); err != nil {
		b.doubt(err)
		return b.failure(err)
	}
	return nil
}

// mayPublish has an error where this node may not publish to topics. Nobody
// listens to this one. A script would find out when it has written already.
func (b *Broker) mayPublish(ctx context.Context) error {
	c := b.client()
	if c == nil {
		return errDown
	}
	topic := b.shared() + " " // no node has such a name
	return c.Do(ctx, c.B().Publish().Channel(topic).Message("").Build().SetSlot(topic)).Error()
}

// control reports whether a topic is one between nodes.
func (b *Broker) control(topic string) bool { return strings.HasPrefix(topic, b.shared()) }

// hearControl takes a message of another node.
func (b *Broker) hearControl(message string) {
	from, payload, ok := parseControl(message)
	if !ok {
		b.garbled("", errGarbled)
		return
	}
	if from != b.node {
		b.feed.Control(from, []byte(payload))
	}
}

func parseControl(message string) (from, payload string, ok bool) {
	rest, ok := strings.CutPrefix(message, controlHead)
	if !ok || len(message) > maxControl {
		return "", "", false
	}
	from, payload, ok = strings.Cut(rest, "\n")
	if !ok || from == "" || len(from) > maxNodeName {
		return "", "", false
	}
	for i := range len(from) {
		if c := from[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return "", "", false
		}
	}
	return from, payload, true
}
