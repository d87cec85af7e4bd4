package auth

import (
	"cmp"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"ringdown/protocol"
)

// capabilityClaim is the claim that holds capabilities.
const capabilityClaim = "ringdown"

// operations are what a capability can be about.
var operations = []string{"subscribe", "publish", "presence", "history"}

// Capabilities are what a token itself grants and denies, channel by channel:
// {"chat:*": ["subscribe", "publish", "-history"]}.
type Capabilities []capability

type capability struct {
	pattern string // of channel names, without the star
	prefix  bool   // there was a star: any rest fits
	grants  []string
	denies  []string
}

// Decide says what the capabilities say about op ("subscribe", "publish",
// "presence", "history") on a channel. If neither is true, they say nothing.
// Deny wins: granted and denied are never both true. Names that are the
// server's own are never granted.
func (c Capabilities) Decide(op, channel string) (granted, denied bool) {
	for i := range c {
		if !c[i].matches(channel) {
			continue
		}
		if slices.Contains(c[i].denies, op) {
			return false, true
		}
		granted = granted || slices.Contains(c[i].grants, op)
	}
	return granted && !protocol.ServerOwned(channel), false
}

// About yields what the capabilities say of a channel, as the token writes it:
// "chat:*" and its operations, sorted by the pattern.
func (c Capabilities) About(channel string) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for i := range c {
			if !c[i].matches(channel) {
				continue
			}
			pattern, operations := c[i].pattern, slices.Clone(c[i].grants)
			if c[i].prefix {
				pattern += "*"
			}
			for _, op := range c[i].denies {
				operations = append(operations, "-"+op)
			}
			if !yield(pattern, operations) {
				return
			}
		}
	}
}

func (c *capability) matches(channel string) bool {
	if c.prefix {
		return strings.HasPrefix(channel, c.pattern)
	}
	return channel == c.pattern
}

// parseCapabilities reads the claim. What is not understood is refused, since it
// may have been meant to deny something.
func parseCapabilities(raw json.RawMessage) (Capabilities, error) {
	var m map[string][]string
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, refuse(`the claim %q of the token must be an object such as {"chat:*": ["subscribe", "publish", "-history"]}`, capabilityClaim)
	}
	list := make(Capabilities, 0, len(m))
	for pattern, ops := range m {
		c := capability{}
		c.pattern, c.prefix = strings.CutSuffix(pattern, "*")
		if strings.Contains(c.pattern, "*") || c.pattern == "" && !c.prefix {
			return nil, refuse(`in the claim %q of the token, a channel may have a * at its end only, and may not be empty`, capabilityClaim)
		}
		for _, op := range ops {
			name, deny := strings.CutPrefix(op, "-")
			i := slices.Index(operations, name)
			switch {
			case i < 0:
				return nil, refuse(`the claim %q of the token holds an unknown operation; there are %s, each also with - before it`, capabilityClaim, strings.Join(operations, ", "))
			case deny:
				c.denies = append(c.denies, operations[i])
			default:
				c.grants = append(c.grants, operations[i])
			}
		}
		list = append(list, c)
	}
	// The claim is an object, whose order says nothing.
	slices.SortFunc(list, func(a, b capability) int { return cmp.Compare(a.pattern, b.pattern) })
	return list, nil
}
