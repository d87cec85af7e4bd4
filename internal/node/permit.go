package node

import (
	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Permit decides whether somebody may do r.Op on the target; nil means yes.
// caps are what the token carries: what it denies is denied, what it grants is
// granted unless the channel's rule is none; otherwise the rule decides.
// r.Channel and, for a rule that may ask, r.Params are filled in. The error says
// what refused.
func Permit(t Target, name string, caps auth.Capabilities, r *channel.Request) error {
	rule := t.Declaration.Rule(r.Op)
	r.Channel, r.Params = name, nil
	if !channel.Word(rule) {
		r.Params = t.Declaration.Params(name)
	}
	if caps != nil {
		granted, denied := caps.Decide(r.Op.String(), name)
		if denied {
			return protocol.Errorf(protocol.CodeForbidden, "%s on %q is denied by the capabilities of the token", r.Op, name)
		}
		if granted && rule != channel.None {
			return nil
		}
	}
	ok, err := rule.Allow(r)
	switch {
	case err != nil:
		return protocol.Errorf(protocol.CodeForbidden, "%s on %q is refused: the rule `%s` of channel %q could not be decided: %v", r.Op, name, rule, t.Declaration.Name, err)
	case !ok:
		return protocol.Errorf(protocol.CodeForbidden, "%s on %q is refused by the rule `%s` of channel %q", r.Op, name, rule, t.Declaration.Name)
	}
	return nil
}
