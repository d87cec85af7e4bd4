package channel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// TestPatternsAgreeWithRegexp (C08): on names and patterns of few letters, so
// that they often almost match, the pattern says what a regular expression says.
func TestPatternsAgreeWithRegexp(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	text := func(most int) string {
		var b strings.Builder
		for range r.IntN(most + 1) {
			b.WriteByte("ab:."[r.IntN(4)])
		}
		return b.String()
	}
	matched := 0
	for n := 0; n < 100_000; {
		source, expr, sample := text(3), "", ""
		expr, sample = regexp.QuoteMeta(source), source
		for i := range r.IntN(4) {
			literal, value := text(3), text(2)
			if i > 0 && strings.HasSuffix(source, "}") {
				source, expr, sample = source+".", expr+`\.`, sample+"."
			}
			source += fmt.Sprintf("{p%d}%s", i, literal)
			expr += fmt.Sprintf("(?P<p%d>[^:]+?)%s", i, regexp.QuoteMeta(literal))
			sample += value + literal
		}
		p, err := parsePattern(source)
		if err != nil {
			continue
		}
		re := regexp.MustCompile("^" + expr + "$")
		for _, name := range []string{sample, sample + text(1), text(8)} {
			n++
			params, ok := p.values(name), p.matches(name)
			found := re.FindStringSubmatch(name)
			if ok != (found != nil) {
				t.Fatalf("%q on %q: %v, the regular expression says %v", source, name, ok, found != nil)
			}
			if !ok {
				continue
			}
			matched++
			want := map[string]string{}
			for i, name := range re.SubexpNames()[1:] {
				want[name] = found[i+1]
			}
			if !maps.Equal(params, want) {
				t.Fatalf("%q on %q: %v, the regular expression says %v", source, name, params, want)
			}
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d matched: this tested little", matched)
	}
}
