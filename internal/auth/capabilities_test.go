package auth

import (
	"encoding/json"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
)

// TestCapabilitiesAgreeWithReference (C08): what a token grants and denies, on
// names and patterns of few letters, against the plainest way to decide it: any
// matching denial denies, otherwise any matching grant grants.
func TestCapabilitiesAgreeWithReference(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	text := func(most int) string {
		var b strings.Builder
		for range 1 + r.IntN(most) {
			b.WriteByte("ab:$"[r.IntN(4)])
		}
		return b.String()
	}
	var granted, denied, both int
	for n := 0; n < 100_000; {
		claim := map[string][]string{}
		for range 1 + r.IntN(4) {
			pattern := text(3)
			if r.IntN(2) == 0 {
				pattern += "*"
			}
			for range r.IntN(3) {
				op := operations[r.IntN(len(operations))]
				if r.IntN(3) == 0 {
					op = "-" + op
				}
				claim[pattern] = append(claim[pattern], op)
			}
		}
		raw, err := json.Marshal(claim)
		if err != nil {
			t.Fatal(err)
		}
		caps, err := parseCapabilities(raw)
		if err != nil {
			continue // a nil list of operations is not one
		}
		for range 10 {
			n++
			name, op := text(4), operations[r.IntN(len(operations))]
			var grant, deny bool
			for pattern, ops := range claim {
				// Names of these letters hold nothing that path.Match makes much of, and
				// no slash.
				if ok, err := path.Match(pattern, name); err != nil || !ok {
					continue
				}
				for _, o := range ops {
					grant = grant || o == op
					deny = deny || o == "-"+op
				}
			}
			wantGrant := grant && !deny && !strings.HasPrefix(name, "$")
			gotGrant, gotDeny := caps.Decide(op, name)
			if gotGrant != wantGrant || gotDeny != deny {
				t.Fatalf("%s, %s on %q: granted %v, denied %v; want %v, %v", raw, op, name, gotGrant, gotDeny, wantGrant, deny)
			}
			if wantGrant {
				granted++
			}
			if deny {
				denied++
			}
			if grant && deny {
				both++
			}
		}
	}
	if granted < 1000 || denied < 1000 || both < 100 {
		t.Errorf("%d granted, %d denied, %d both: this tested little", granted, denied, both)
	}
}
