package rule

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// costLimit is the work one decision may take, in units of about a quarter of a
// microsecond. claims.rooms.exists(r, r.id == params.room) takes some seven units
// per room, so that the fullest token (8 KiB, some five hundred of them) stays
// below it; what is above belongs to nobody honest.
const costLimit = 20_000

// stepsPerUnit is how many steps of a channel.Budget a unit is.
const stepsPerUnit = 5

// work says what a call costs. CEL's own figures are not used: they charge one
// unit for functions that it does not know, and for operators whose operands
// are of unknown kind, which all claims are. One such unit can be a search
// through a whole list.
type work struct{}

// CallCost implements cost.ActualCostEstimator. It is asked after the call, so
// a single call may overrun; none can by more than the size of a token.
func (work) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	units := uint64(1)
	for _, arg := range args {
		units += weight(arg, function, args)
	}
	return &units
}

func weight(v ref.Val, function string, args []ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		switch function {
		case overloads.Matches:
			return uint64(len(v)) // each byte moves all the states of the pattern
		case "split":
			return uint64(len(v)) / 2
		}
		return uint64(len(v)) / 32
	case claimList:
		if function == operators.In || function == operators.OldIn {
			if _, text := args[0].(types.String); text {
				return uint64(len(v.items)) / 16
			}
		}
		if looksInside(function) {
			return deep(v)
		}
	case traits.Lister:
		// Only these look into their operands; [ ] and size do not.
		if looksInside(function) {
			return deep(v)
		}
	case traits.Mapper:
		if looksInside(function) && function != operators.In {
			return deep(v)
		}
	}
	return 0
}

func looksInside(function string) bool {
	switch function {
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
		return true
	}
	return false
}

// deep counts what a value holds, which is what comparing it may take.
func deep(v ref.Val) uint64 {
	count := uint64(1)
	switch v := v.(type) {
	case types.String:
		count += uint64(len(v)) / 32
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True; {
			count += deep(it.Next())
		}
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			count += deep(v.Get(it.Next()))
		}
	}
	return count
}
