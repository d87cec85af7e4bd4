package rule

import (
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"ringdown/internal/channel"
)

type variable struct {
	name string
	kind *cel.Type
}

// variables are what a rule sees, in the order in which messages list them.
var variables = []variable{
	{"user", cel.StringType},
	{"claims", cel.MapType(cel.StringType, cel.DynType)},
	{"params", cel.MapType(cel.StringType, cel.StringType)},
	{"channel", cel.StringType},
	{"event", cel.StringType},
	{"connection", cel.StringType},
	{"anyone", cel.BoolType},
	{"signed_in", cel.BoolType},
	{"none", cel.BoolType},
}

// environment is built once: it is dear to make, immutable and shared.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(adapter{types.DefaultTypeAdapter}),
		cel.ParserExpressionSizeLimit(MaxSource),
		cel.ParserRecursionLimit(50),
		cel.ExpressionNodeLimit(5_000),
		// The claim scope of OAuth is a list in one string (RFC 8693 §4.2), and
		// without split people would look for a word inside other words.
		cel.Function("split", cel.MemberOverload(splitOverload,
			[]*cel.Type{cel.StringType, cel.StringType}, cel.ListType(cel.StringType),
			cel.BinaryBinding(split))),
		cel.Function("lowerAscii", cel.MemberOverload(lowerOverload,
			[]*cel.Type{cel.StringType}, cel.StringType,
			cel.UnaryBinding(lowerASCII))),
	}
	for _, v := range variables {
		options = append(options, cel.Variable(v.name, v.kind))
	}
	return cel.NewEnv(options...)
})

const (
	splitOverload = "string_split_string"
	lowerOverload = "string_lower_ascii"
)

func split(text, separator ref.Val) ref.Val {
	s, ok := text.(types.String)
	sep, ok2 := separator.(types.String)
	if !ok || !ok2 {
		return types.MaybeNoSuchOverloadErr(text)
	}
	return types.NewStringList(types.DefaultTypeAdapter, strings.Split(string(s), string(sep)))
}

func lowerASCII(text ref.Val) ref.Val {
	s, ok := text.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(text)
	}
	return types.String(strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, string(s)))
}

// activation lets an expression read a request. Claims are decoded only when
// the expression asks for them.
type activation struct{ r *channel.Request }

// ResolveName implements cel.Activation.
func (a activation) ResolveName(name string) (any, bool) {
	switch name {
	case "user":
		return a.r.User, true
	case "claims":
		if a.r.Claims != nil {
			if claims := a.r.Claims(); claims != nil {
				return claims, true
			}
		}
		return noClaims, true
	case "params":
		if a.r.Params == nil {
			return noParams, true
		}
		return a.r.Params, true
	case "channel":
		return a.r.Channel, true
	case "event":
		return a.r.Event, true
	case "connection":
		return a.r.Connection, true
	case "signed_in":
		return a.r.User != "", true
	case "anyone":
		return true, true
	case "none":
		return false, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (activation) Parent() cel.Activation { return nil }

var (
	noClaims = map[string]any{}
	noParams = map[string]string{}
)
