package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ringdown/internal/channel"
	"ringdown/internal/config"
)

// defaultConfig is read where a command is not told another file.
const defaultConfig = "ringdown.yaml"

func checkCommand(g *global) *cobra.Command {
	var q question
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file, and ask it who may do what",
		Long: `Read a configuration file (./ringdown.yaml when none is named) with everything it
names, and say what is wrong with it: file, line, what, and the remedy. Exits with 1
if there is an error.

With --subscribe, --publish, --presence or --history it says whether somebody may
do that: yes or no, the rule with its line, and the values that decided, which are
those that the rule reads. It exits with 0 for yes and 1 for no. Who asks is said
with --as, by the claims of a token or the name of a user; without it, nobody is
signed in. Behind --publish come the event and its data, which are judged by the
event's schema.`,
		Example: `  ringdown check
  ringdown check ringdown.yaml --as ann --subscribe chat:1
  ringdown check ringdown.yaml --as '{"sub":"ann","roles":["driver"]}' --publish trucks:north position '{"lat":1,"lon":2}'
  ringdown check --subscribe chat:1 --json`,
		Args: func(_ *cobra.Command, args []string) error { return q.arguments(args) },
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(q.file, config.LoadOptions{})
			if asJSON {
				err = g.checkJSON(&q, conf, err)
			} else {
				err = g.check(&q, conf, err)
			}
			return err
		},
		ValidArgsFunction: completeYAML,
	}
	f := c.Flags()
	f.StringVar(&q.as, "as", "", "who asks: the claims of a token, as JSON, or a user's name (default: nobody is signed in)")
	f.StringVar(&q.channel[channel.OpSubscribe], "subscribe", "", "may the channel `CHANNEL` be followed?")
	f.StringVar(&q.channel[channel.OpPublish], "publish", "", "may an event be published to `CHANNEL`? the event and its data follow")
	f.StringVar(&q.channel[channel.OpPresence], "presence", "", "may `CHANNEL` be entered, and its members be seen?")
	f.StringVar(&q.channel[channel.OpHistory], "history", "", "may older messages of `CHANNEL` be read?")
	f.BoolVar(&asJSON, "json", false, "print the answer as JSON")
	for op := range q.channel {
		_ = c.RegisterFlagCompletionFunc(channel.Op(op).String(), completeChannels)
	}
	return c
}

func (g *global) check(q *question, conf *config.Config, err error) error {
	if err != nil {
		return err
	}
	for _, w := range conf.Warnings {
		fmt.Fprintln(g.streams.Err, "warning:", w)
	}
	if q.asked() {
		a, err := q.answer(conf)
		if err != nil {
			return err
		}
		a.writeText(g.streams.Out)
		return a.code()
	}
	fmt.Fprintf(g.streams.Out, "%s is good: %s declared\n", q.file, count(len(conf.Channels), "channel"))
	for _, d := range conf.Table().Declarations() {
		fmt.Fprintf(g.streams.Out, "  %-30s subscribe: %s, publish: %s\n", d.Name, oneLine(d.Allow.Subscribe), oneLine(d.Allow.Publish))
	}
	return nil
}

// oneLine writes a rule that may stand on several.
func oneLine(r channel.Rule) string { return strings.Join(strings.Fields(r.String()), " ") }

// checked is what --json prints of a file.
type checked struct {
	File     string           `json:"file"`
	Good     bool             `json:"good"`
	Problems []problem        `json:"problems,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
	Channels []checkedChannel `json:"channels,omitempty"`
}

type problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	What   string `json:"what"`
	Remedy string `json:"mend,omitempty"`
}

type checkedChannel struct {
	Name  string            `json:"name"`
	Line  int               `json:"line"`
	Allow map[string]string `json:"allow"`
}

func (g *global) checkJSON(q *question, conf *config.Config, err error) error {
	if err == nil && q.asked() {
		a, err := q.answer(conf)
		if err != nil {
			return err
		}
		return errors.Join(g.writeJSON(a), a.code())
	}
	out := checked{File: q.file, Good: err == nil}
	var all *config.Errors
	switch {
	case errors.As(err, &all):
		for _, p := range all.List {
			out.Problems = append(out.Problems, problem{p.File, p.Line, p.Column, p.What, p.Remedy})
		}
	case err != nil:
		return err
	default:
		out.Warnings = conf.Warnings
		for _, d := range conf.Table().Declarations() {
			allow := map[string]string{}
			for op := channel.OpSubscribe; op <= channel.OpHistory; op++ {
				allow[op.String()] = d.Rule(op).String()
			}
			out.Channels = append(out.Channels, checkedChannel{d.Name, d.Line, allow})
		}
	}
	if err := g.writeJSON(out); err != nil || out.Good {
		return err
	}
	return errSaid
}

func (g *global) writeJSON(v any) error {
	enc := json.NewEncoder(g.streams.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// looksLikeFile says whether an argument names a configuration file.
func looksLikeFile(arg string) bool {
	return strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml") || isFile(arg)
}

func isFile(arg string) bool {
	info, err := os.Stat(arg)
	return err == nil && info.Mode().IsRegular()
}
