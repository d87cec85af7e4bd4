package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/config"
	"ringdown/internal/node"
	"ringdown/internal/rule"
	"ringdown/protocol"
)

// question is what check was asked: of which file, and who may do what.
type question struct {
	file    string
	as      string
	channel [4]string // by operation; one of them at most
	event   string    // of a publish
	data    []byte
}

func (q *question) asked() bool { return q.op() >= 0 }

// op returns the operation that was asked about, -1 for none.
func (q *question) op() int {
	for op, name := range q.channel {
		if name != "" {
			return op
		}
	}
	return -1
}

// arguments takes FILE, and behind --publish the event and its data.
func (q *question) arguments(args []string) error {
	asked := 0
	for _, name := range q.channel {
		if name != "" {
			asked++
		}
	}
	switch {
	case asked > 1:
		return usage("ask one thing at a time: --subscribe, --publish, --presence or --history")
	case q.as != "" && asked == 0:
		return usage("--as says who asks; say what with --subscribe, --publish, --presence or --history CHANNEL")
	}
	q.file = defaultConfig
	if len(args) > 0 && (q.op() != int(channel.OpPublish) || looksLikeFile(args[0])) {
		q.file, args = args[0], args[1:]
	}
	if q.op() == int(channel.OpPublish) {
		if len(args) == 0 {
			return usage("say which event: --publish CHANNEL EVENT [DATA]")
		}
		q.event, args = args[0], args[1:]
		if len(args) > 0 {
			q.data, args = []byte(args[0]), args[1:]
			if err := validData(q.data); err != nil {
				return &usageError{err}
			}
		}
	}
	if len(args) > 0 {
		return usage("%q is one argument too many\nSee ringdown check --help", args[0])
	}
	return nil
}

// answer is what check says of a question.
type answer struct {
	Allowed bool         `json:"allowed"`
	User    string       `json:"user"` // empty: nobody is signed in
	Action  string       `json:"action"`
	Channel string       `json:"channel"`
	Event   string       `json:"event,omitempty"`
	By      string       `json:"by"` // rule, token, auth, schema or channel: what decided
	Rule    string       `json:"rule,omitempty"`
	File    string       `json:"file,omitempty"`
	Line    int          `json:"line,omitempty"`
	Text    string       `json:"text,omitempty"`
	Values  []rule.Value `json:"values,omitempty"`
	Code    string       `json:"code,omitempty"` // what a client would be told
	Message string       `json:"message,omitempty"`
	Cause   string       `json:"cause,omitempty"` // what the log would say besides
}

func (q *question) answer(conf *config.Config) (*answer, error) {
	op := channel.Op(q.op())
	a := &answer{Action: op.String(), Channel: q.channel[op], Event: q.event}
	who, err := q.caller(conf)
	if err != nil {
		return nil, err
	}
	a.User = who.User
	if q.as == "" && !conf.Anonymous {
		a.By, a.File = "auth", q.file
		a.Code = string(protocol.CodeUnauthorized)
		a.Message = "nobody without a token is let in (auth.anonymous is not true); say who asks with --as"
		return a, nil
	}
	action := node.Action{Op: op}
	if q.event != "" {
		action.Message = &protocol.Message{Type: q.event, Data: q.data}
	}
	d := node.Explain(conf.Table(), who, action, a.Channel)
	a.Allowed, a.Rule, a.Line, a.Text, a.Values = d.Allowed, d.Rule, d.Line, d.Text, d.Values
	if d.Line > 0 {
		a.File = q.file
	}
	if d.Err != nil {
		a.Code, a.Message = string(d.Err.Code), d.Err.Message
	}
	if d.Cause != nil {
		a.Cause = d.Cause.Error()
	}
	switch {
	case d.ByToken:
		a.By = "token"
	case d.Err != nil && d.Err.Code == protocol.CodeInvalidData:
		a.By = "schema"
	case d.Err != nil && d.Err.Rule == "":
		a.By = "channel"
	default:
		a.By = "rule"
	}
	return a, nil
}

// caller is who asks, as a token with the claims would say.
func (q *question) caller(conf *config.Config) (*node.Caller, error) {
	if q.as == "" {
		return &node.Caller{}, nil
	}
	claim := "sub"
	if len(conf.Auth.JWT) > 0 {
		claim = cmp.Or(conf.Auth.JWT[0].UserClaim, claim)
	}
	payload := []byte(q.as)
	if !strings.HasPrefix(strings.TrimSpace(q.as), "{") {
		payload, _ = json.Marshal(map[string]string{claim: q.as}) // texts always encode
	}
	who, err := auth.Assume(payload, claim)
	if err != nil {
		return nil, usage("--as is the claims of a token, such as '{\"%s\":\"ann\"}', or a user's name: %s", claim, protocol.AsError(err).Message)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, usage("--as: %w", err)
	}
	return &node.Caller{User: who.User, Caps: who.Caps, Claims: func() map[string]any { return claims }}, nil
}

// code is nil for yes.
func (a *answer) code() error {
	if a.Allowed {
		return nil
	}
	return errSaid
}

func (a *answer) writeText(w io.Writer) {
	who, verb, word := "somebody who is not signed in", a.Action, "may not"
	if a.User != "" {
		who = a.User
	}
	switch a.Action {
	case "subscribe":
		verb = "subscribe to"
	case "publish":
		verb = "publish " + a.Event + " to"
	case "presence":
		verb = "be present in"
	case "history":
		verb = "read the history of"
	}
	start := "no:   "
	if a.Allowed {
		start, word = "yes:  ", "may"
	}
	fmt.Fprintln(w, start, who, word, verb, a.Channel)
	if a.Rule != "" {
		decided := "rule: "
		if a.By == "token" {
			decided = "not asked:"
		}
		fmt.Fprintf(w, "%s %s (%s:%d): %s\n", decided, a.Rule, a.File, a.Line, strings.Join(strings.Fields(a.Text), " "))
	}
	for i, v := range a.Values {
		label := "with: "
		if i > 0 {
			label = "      "
		}
		fmt.Fprintf(w, "%s %s %s\n", label, v.Name, value(v))
	}
	if a.Message != "" {
		fmt.Fprintf(w, "told:  %s: %s\n", a.Code, a.Message)
	}
	if a.Cause != "" {
		fmt.Fprintf(w, "cause: %s\n", a.Cause)
	}
}

// value writes what a rule saw.
func value(v rule.Value) string {
	if v.Missing {
		return "is not there"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v.Value) != nil {
		return "?" // claims come from JSON, so this does not happen
	}
	return "= " + strings.TrimSpace(b.String())
}
