package node

import (
	"errors"
	"math"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/rule"
	"ringdown/protocol"
)

// verdict says whether somebody may do something, and what decided.
type verdict struct {
	allowed bool
	token   bool  // the capabilities of the token decided; otherwise the rule did
	failed  error // why the rule could not be decided
}

// decide is the one place that says who may do what. caps are the capabilities of
// the token. What they deny is denied, and what they grant is granted unless the
// channel's rule is none; otherwise the rule decides. decide fills in r.Channel and,
// for a rule that may read them, r.Params.
func decide(t Target, name string, caps auth.Capabilities, r *channel.Request) verdict {
	asked := t.Declaration.Rule(r.Op)
	r.Channel, r.Params = name, nil
	if !channel.Word(asked) {
		r.Params = t.Declaration.Params(name)
	}
	if caps != nil {
		granted, denied := caps.Decide(r.Op.String(), name)
		if denied || granted && asked != channel.None {
			return verdict{allowed: !denied, token: true}
		}
		if r.Op == channel.OpHistory && t.Declaration.HistoryAsSubscribe() {
			if _, denied = caps.Decide(channel.OpSubscribe.String(), name); denied {
				return verdict{token: true}
			}
		}
	}
	ok, err := asked.Allow(r)
	return verdict{allowed: ok && err == nil, failed: err}
}

func (v verdict) refusal(d *channel.Declaration, name string, op channel.Op) error {
	if v.token {
		return protocol.Errorf(protocol.CodeForbidden, "%s on %q is denied by the capabilities of the token", op, name).WithReason("capability")
	}
	ruleName := d.RuleName(op)
	if errors.Is(v.failed, channel.ErrBudget) {
		return protocol.Errorf(protocol.CodeRateLimited, "%s on %q: deciding by the rules takes more work than one message may ask for (limits.connection.rule_steps); name fewer channels in one", op, name).WithLimit("limits.connection.rule_steps")
	}
	if v.failed != nil {
		return &undecided{protocol.Errorf(protocol.CodeForbidden, "%s on %q is refused: the rule %s could not be decided", op, name, ruleName).WithRule(ruleName), v.failed}
	}
	return protocol.Errorf(protocol.CodeForbidden, "%s on %q is refused by the rule %s", op, name, ruleName).WithRule(ruleName)
}

// undecided is a refusal because a rule failed. The cause may quote the rule, so it
// is not told to the client.
type undecided struct {
	told  *protocol.Error
	cause error
}

func (u *undecided) Error() string { return u.told.Error() + ": " + u.cause.Error() }
func (u *undecided) Unwrap() error { return u.told }

// Action is what somebody wants to do with a channel.
type Action struct {
	Op channel.Op
	// Message is what would be published, for OpPublish: its type, and key and data
	// if those are to be judged too.
	Message *protocol.Message
}

// Decision says whether somebody may do something, and why. It is for operators:
// clients are told nothing of it but Err.
type Decision struct {
	Allowed bool
	Channel string // as declared, such as chat:{room}; "" if none is
	Rule    string // the rule's name, such as chat:{room}.allow.publish; "" if none was asked
	Line    int    // where the rule stands in the configuration file; 0: it is not there
	Text    string // the rule as written
	// ByToken says that the capabilities of the token decided and not the rule.
	ByToken bool
	Values  []rule.Value // what decided
	// Err is what the client would be told, nil when it is allowed. Cause is what only
	// the log would tell.
	Err   *protocol.Error
	Cause error
}

// Explain decides as Caller.Permit does, by the table, and tells what decided. A
// message to publish is checked against the events that the channel declares.
func Explain(table *channel.Table, c *Caller, a Action, name string) Decision {
	t, err := resolve(table, name)
	if err != nil {
		return Decision{Err: protocol.AsError(err)}
	}
	d := Decision{Channel: t.Declaration.Name, Rule: t.Declaration.RuleName(a.Op), Line: t.Declaration.RuleLine(a.Op), Text: t.Declaration.Rule(a.Op).String()}
	if a.Op == channel.OpPresence {
		if err := declaresPresence(t, name); err != nil {
			d.Err = protocol.AsError(err)
			return d
		}
	}
	event := ""
	if a.Message != nil {
		event = a.Message.Type
	}
	v := c.decide(t, name, a.Op, event)
	d.Allowed, d.ByToken, d.Cause = v.allowed, v.token, v.failed
	if v.token {
		d.Values = capabilities(c.Caps, name)
	} else {
		d.Values = rule.Values(t.Declaration.Rule(a.Op), &c.request)
	}
	if !v.allowed {
		d.Err = protocol.AsError(v.refusal(t.Declaration, name, a.Op))
	} else if a.Message != nil {
		ev, err := fits(t.Declaration, a.Message)
		if err == nil {
			_, err = judge(t.Declaration, ev, a.Message, math.MaxInt)
		}
		if err != nil {
			d.Allowed, d.Err = false, protocol.AsError(err)
		}
	}
	return d
}

// capabilities are the entries of the token that are about a channel.
func capabilities(caps auth.Capabilities, name string) []rule.Value {
	var values []rule.Value
	for pattern, operations := range caps.About(name) {
		values = append(values, rule.Value{Name: `claims.ringdown["` + pattern + `"]`, Value: operations})
	}
	return values
}
