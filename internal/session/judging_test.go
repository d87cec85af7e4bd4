package session

import (
	"testing"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// dearRule takes so many steps to let everybody do everything.
type dearRule int

func (d dearRule) String() string { return "dear" }

func (d dearRule) Allow(r *channel.Request) (bool, error) {
	if !r.Budget.Take(int(d)) {
		return false, channel.ErrBudget
	}
	return true, nil
}

// TestRulesCountAgainstTheRate: what the rules take for a message is paid by the
// messages after it, also when they let it pass, and one message may take so
// much and no more.
func TestRulesCountAgainstTheRate(t *testing.T) {
	h := newHouse(t, houseOptions{
		policy: Policy{Limits: Limits{MessagesPerSecond: 1, MessagesBurst: 100, RuleSteps: 200_000}},
		channels: []*channel.Declaration{
			{Name: "cheap", Allow: open(dearRule(stepsPerMessage - 1))},
			{Name: "dear", Allow: open(dearRule(19 * stepsPerMessage))},
			{Name: "too-dear", Allow: open(dearRule(200_001))},
		},
	})
	c := h.welcomed("ann")
	for n := range 3 {
		c.sendf(`{"type":"e","channel":"cheap","id":%d}`, n+1)
		if m := c.one(); m.Type != protocol.TypeAck {
			t.Fatal(show([]protocol.Message{m}))
		}
	}
	// Each is a message, and nineteen more that the next one pays: of the 97 that are
	// left, six fit.
	passed := 0
	for range 10 {
		c.send(`{"type":"e","channel":"dear","id":1}`)
		if m := c.one(); m.Type == protocol.TypeAck {
			passed++
		} else if code(t, m) != protocol.CodeRateLimited {
			t.Fatal(show([]protocol.Message{m}))
		}
	}
	if passed != 6 {
		t.Errorf("%d messages passed, want 6", passed)
	}
	c = h.welcomed("ben")
	c.send(`{"type":"e","channel":"too-dear","id":1}`)
	if m := c.one(); code(t, m) != protocol.CodeRateLimited {
		t.Error(show([]protocol.Message{m}))
	}
	// The next one has a budget of its own.
	c.send(`{"type":"e","channel":"dear","id":1}`)
	if m := c.one(); m.Type != protocol.TypeAck {
		t.Error(show([]protocol.Message{m}))
	}
}

// dearSchema takes so many steps to find that everything fits.
type dearSchema int

func (d dearSchema) Validate(_ []byte, b *channel.Budget) error {
	if !b.Take(int(d)) {
		return channel.ErrBudget
	}
	return nil
}

// TestSchemasCountAgainstTheRate: so does what judging by a schema takes.
func TestSchemasCountAgainstTheRate(t *testing.T) {
	h := newHouse(t, houseOptions{
		policy: Policy{Limits: Limits{MessagesPerSecond: 1, MessagesBurst: 100}},
		channels: []*channel.Declaration{{Name: "c", Allow: open(channel.Anyone), Events: map[string]*channel.Event{
			"e":        {Name: "e", Schema: dearSchema(24 * stepsPerMessage)},
			"too-dear": {Name: "too-dear", Schema: dearSchema(1000), SchemaSteps: 999},
		}}},
	})
	c := h.welcomed("ann")
	c.send(`{"type":"too-dear","channel":"c","id":1,"data":1}`)
	if m := c.one(); code(t, m) != protocol.CodeInvalidData {
		t.Error(show([]protocol.Message{m}))
	}
	passed := 0
	for range 10 {
		c.send(`{"type":"e","channel":"c","id":1,"data":1}`)
		if m := c.one(); m.Type == protocol.TypeAck {
			passed++
		}
	}
	if passed != 4 {
		t.Errorf("%d messages of a quarter of all passed, want 4", passed)
	}
}
