// Package spec plays the cases of spec/client with a client, through an adapter on
// stdin and stdout: see spec/client/README.md.
package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Case is what an application asks of its client, what the client must do on the wire,
// and what it must tell.
type Case struct {
	Name  string `yaml:"name"`
	About string `yaml:"about"`
	Needs string `yaml:"needs"` // what some languages have no use for: handlers, grace, reopen
	Steps []Step `yaml:"steps"`

	File string `yaml:"-"`
}

// Step is one of the things that Kinds names, with what it is about.
type Step struct {
	Kind  string
	Value any // as encoding/json has it
	On    int // the line that it is about; 0: the newest
}

// commands say which steps are commands to the adapter, expected which are waited for.
var (
	commands = []string{"do", "opened", "failed", "receive", "heard", "ended", "advance", "jump", "wake"}
	expected = []string{"line", "send", "drop", "token", "told", "none", "quiet"}
	// short are steps that stand for others: see expand.
	short = []string{"live", "follows"}
)

// UnmarshalYAML reads a step: a mapping with one kind, and perhaps on.
func (s *Step) UnmarshalYAML(text []byte) error {
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return err
	}
	if on, ok := fields["on"]; ok {
		n, ok := on.(uint64)
		if !ok {
			return fmt.Errorf("on is the number of a line, not %v", on)
		}
		s.On = int(n)
		delete(fields, "on")
	}
	if len(fields) != 1 {
		return fmt.Errorf("a step has one of %s, %s", strings.Join(commands, ", "), strings.Join(expected, ", "))
	}
	for kind, value := range fields {
		if !slices.Contains(slices.Concat(commands, expected, short), kind) {
			return fmt.Errorf("there is no step %q", kind)
		}
		plain, err := json.Marshal(value)
		if err != nil {
			return err
		}
		s.Kind = kind
		return json.Unmarshal(plain, &s.Value)
	}
	return nil
}

// Load reads all cases below dir, file by file.
func Load(dir string) ([]Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var all []Case
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var list []Case
		if err := yaml.UnmarshalWithOptions(text, &list, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		topic := strings.TrimSuffix(filepath.Base(file), ".yaml")
		for _, c := range list {
			if c.Name == "" || len(c.Steps) == 0 || names[topic+c.Name] {
				return nil, fmt.Errorf("%s: a case needs a name of its own and steps: %q", filepath.Base(file), c.Name)
			}
			names[topic+c.Name] = true
			c.File = topic
			c.Steps = expand(c.Steps)
			all = append(all, c)
		}
	}
	return all, nil
}

// expand puts in place of the short steps what they stand for.
//
//	live: {expires: …}                        the newest line is opened and welcome, with these besides
//	follows: {channel: c, since: …, gets: …}  the client subscribes to c alone, and is answered
func expand(steps []Step) (all []Step) {
	for i, s := range steps {
		fields, _ := s.Value.(map[string]any)
		switch s.Kind {
		case "live":
			welcome := map[string]any{"connection": "c", "protocol": 1.0, "ping": 25_000.0, "max_message": 65_536.0, "dedupe_window": 120_000.0}
			maps.Copy(welcome, fields)
			all = append(all,
				Step{Kind: "line", Value: map[string]any{}}, Step{Kind: "opened"},
				Step{Kind: "receive", Value: map[string]any{"type": "welcome", "data": welcome}})
		case "follows":
			id := fmt.Sprintf("$subscribe%d", i)
			item := map[string]any{"channel": fields["channel"], "since": fields["since"]}
			answer := map[string]any{"type": "subscribed", "id": id, "channel": fields["channel"]}
			if gets, ok := fields["gets"].(map[string]any); ok {
				maps.Copy(answer, gets)
			}
			all = append(all,
				Step{Kind: "send", Value: map[string]any{"type": "subscribe", "id": id, "channels": []any{item}}},
				Step{Kind: "receive", Value: answer})
		default:
			all = append(all, s)
		}
	}
	return all
}
