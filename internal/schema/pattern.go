package schema

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxPattern is the most instructions that a compiled regular expression may
// have.
const maxPattern = 2_000

// pattern is a regular expression and what it costs.
type pattern struct {
	*regexp.Regexp
	width int
}

// compilePattern implements jsonschema.RegexpEngine.
func compilePattern(src string) (jsonschema.Regexp, error) {
	parsed, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if n := len(program.Inst); n > maxPattern {
		return nil, fmt.Errorf("it compiles to %d steps, the most is %d", n, maxPattern)
	}
	re, err := regexp.Compile(src)
	if err != nil {
		return nil, err
	}
	return &pattern{re, width(program)}, nil
}

// cost is what matching n bytes may take. It has to be known before, since a
// match cannot be stopped.
func (p *pattern) cost(n int) int { return 4 + n*(2+p.width)/2 }

// explored is how many sets of instructions width looks at before it takes the
// worst for granted.
const explored = 1_000

// width returns how many instructions of a program one character may have to be
// tried at: the largest set that a text can lead to. ^[a-z]{1,64}$ has over a
// hundred instructions, and is never at more than a few at a time.
func width(program *syntax.Prog) int {
	runes := boundaries(program)
	anchored := program.StartCond()&syntax.EmptyBeginText != 0
	start := closure(program, []uint32{uint32(program.Start)})
	widest := len(start)
	known := map[string]bool{key(start): true}
	queue := [][]uint32{start}
	for work := 0; len(queue) > 0; {
		from := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, r := range runes {
			var to []uint32
			if !anchored {
				to = append(to, uint32(program.Start))
			}
			for _, pc := range from {
				if in := &program.Inst[pc]; isRune(in) && in.MatchRune(r) {
					to = append(to, in.Out)
				}
			}
			set := closure(program, to)
			widest = max(widest, len(set))
			if k := key(set); !known[k] {
				known[k] = true
				queue = append(queue, set)
			}
			if work += 1 + len(from); len(known) > explored || work > 1000*explored {
				return len(program.Inst)
			}
		}
	}
	return widest
}

func isRune(in *syntax.Inst) bool {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return true
	}
	return false
}

// closure returns what can be come to from the given instructions without a
// character, in order. Conditions such as ^ are taken to hold.
func closure(program *syntax.Prog, from []uint32) []uint32 {
	seen := make(map[uint32]bool, 2*len(from))
	for next := from; len(next) > 0; {
		pc := next[len(next)-1]
		next = next[:len(next)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch in := &program.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			next = append(next, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstNop:
			next = append(next, in.Out)
		}
	}
	set := make([]uint32, 0, len(seen))
	for pc := range seen {
		set = append(set, pc)
	}
	slices.Sort(set)
	return set
}

func key(set []uint32) string {
	k := make([]byte, 0, 4*len(set))
	for _, pc := range set {
		k = binary.LittleEndian.AppendUint32(k, pc)
	}
	return string(k)
}

// boundaries returns one character for each set of them that no instruction
// tells apart.
func boundaries(program *syntax.Prog) []rune {
	list := []rune{0, '\n', '\n' + 1}
	for i := range program.Inst {
		in := &program.Inst[i]
		for n, r := range in.Rune {
			if len(in.Rune) == 1 { // one character, and its other cases perhaps
				for f := r; ; {
					list = append(list, f, f+1)
					if f = unicode.SimpleFold(f); f == r {
						break
					}
				}
				continue
			}
			list = append(list, r+rune(n%2))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
