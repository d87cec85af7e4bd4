package ringdown

import (
	"encoding/json"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/config"
)

// whole has a value in every field.
var whole = Channel{
	Name: "chat:{room}", About: "Talk", Presence: true, ShowFrom: true, Typing: true, Resume: 5 * time.Minute,
	History: &ChannelHistory{Messages: 500, Bytes: 1 << 20, For: 720 * time.Hour},
	State:   &ChannelState{For: 90 * time.Minute},
	Buffer:  ChannelBuffer{Messages: 64, Bytes: 8192},
	Events: map[string]ChannelEvent{
		"message": {About: "Somebody said something", Ephemeral: true, Schema: json.RawMessage(`{"type":"object","required":["text"],"properties":{"text":{"type":"string","maxLength":100}}}`)},
	},
	Allow: ChannelRules{Subscribe: "params.room in claims.rooms", Publish: "signed_in", Presence: "anyone", History: "none"},
}

const wholeYAML = `
channels:
  - name: chat:{room}
    about: Talk
    presence: true
    show_from: true
    typing: true
    resume: 5m
    history: {messages: 500, bytes: 1MiB, for: 30d}
    state: {for: 90m}
    buffer: {messages: 64, bytes: 8KiB}
    events:
      message: {about: Somebody said something, ephemeral: true, schema: {properties: {text: {maxLength: 100, type: string}}, required: [text], type: object}}
    allow: {subscribe: params.room in claims.rooms, publish: signed_in, presence: anyone, history: none}
`

func declared(t *testing.T, o Options) *channel.Declaration {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	o.Env = func(string) (string, bool) { return strings.Repeat("k", 32), true }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	list := s.conf.Load().Channels
	if len(list) != 1 {
		t.Fatalf("%d channels", len(list))
	}
	return list[0]
}

// TestChannelFromGo: a channel that the program declares is what the file would
// make of it, but for the lines of the file.
func TestChannelFromGo(t *testing.T) {
	auth := "auth: {keys: [env:K], anonymous: true}\n"
	file := declared(t, Options{Config: []byte(auth + wholeYAML)})
	program := declared(t, Options{Config: []byte(auth), Channels: []Channel{whole}})
	if program.Line != 0 || program.Allow.Lines != (channel.Allow{}.Lines) {
		t.Errorf("lines of a file that it does not stand in: %d, %v", program.Line, program.Allow.Lines)
	}
	if got, want := string(program.Events["message"].SchemaJSON), string(file.Events["message"].SchemaJSON); got != want {
		t.Errorf("the schema is %s, want %s", got, want)
	}
	for _, op := range []channel.Op{channel.OpSubscribe, channel.OpPublish, channel.OpPresence, channel.OpHistory} {
		if got, want := program.Rule(op).String(), file.Rule(op).String(); got != want {
			t.Errorf("the rule of %s is %s, want %s", op, got, want)
		}
	}
	for _, text := range []string{`{"text":"hi"}`, `{"text":1}`, `{}`} {
		got, want := program.Events["message"].Schema.Validate([]byte(text), nil), file.Events["message"].Schema.Validate([]byte(text), nil)
		if (got == nil) != (want == nil) || got != nil && got.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	// What cannot be compared was, and the rest is compared.
	for _, d := range []*channel.Declaration{file, program} {
		d.Line, d.Allow, d.Events["message"].Schema, d.Events["typing"].Schema = 0, channel.Allow{}, nil, nil
	}
	if !reflect.DeepEqual(file, program) {
		t.Errorf("%+v, want %+v", program, file)
	}
}

// TestChannelFields: there is a field for every key of the file.
func TestChannelFields(t *testing.T) {
	text, err := whole.item()
	if err != nil {
		t.Fatal(err)
	}
	var item map[string]any
	var schema struct {
		Properties struct {
			Channels struct{ Items map[string]any }
		}
	}
	if err := json.Unmarshal(text, &item); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(config.JSONSchema(), &schema); err != nil {
		t.Fatal(err)
	}
	var compare func(where string, of, item map[string]any)
	compare = func(where string, of, item map[string]any) {
		keys, ok := of["properties"].(map[string]any)
		if !ok {
			return
		}
		if got, want := slices.Sorted(maps.Keys(item)), slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
			t.Errorf("%s has the fields %v, want %v", where, got, want)
		}
		for name, of := range keys {
			of := of.(map[string]any)
			value, _ := item[name].(map[string]any)
			if each, ok := of["additionalProperties"].(map[string]any); ok {
				for _, v := range value {
					compare(where+"."+name, each, v.(map[string]any))
				}
				continue
			}
			compare(where+"."+name, of, value)
		}
	}
	compare("Channel", schema.Properties.Channels.Items, item)
}

// TestBadChannels: what is wrong with a declared channel is told as for the file.
func TestBadChannels(t *testing.T) {
	good := Channel{Name: "orders", Allow: ChannelRules{Subscribe: "anyone"}}
	for want, list := range map[string][]Channel{
		"Options.Channels[1]: the rule of publish": {good, {Name: "a", Allow: ChannelRules{Publish: "user ="}}},
		"Options.Channels[0]: this channel has no": {{}},
		"has neither messages nor bytes":           {{Name: "a", History: &ChannelHistory{For: time.Hour}}},
		"messages is 16 to 1048576":                {{Name: "a", Buffer: ChannelBuffer{Messages: 1}}},
		`channel "orders" is declared twice`:       {good, good},
		`Options.Channels[0], "a": `:               {{Name: "a", Events: map[string]ChannelEvent{"e": {Schema: json.RawMessage(`{`)}}}},
		"a parameter such as {name}":               {{Name: "chat:*"}},
		"events is empty":                          {{Name: "a", Events: map[string]ChannelEvent{}}},
	} {
		_, err := New(Options{Channels: list, Config: []byte("auth: {anonymous: true}"), Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// The first that matches holds, so that the file may go on behind them.
	s, err := New(Options{Channels: []Channel{good}, Config: []byte("auth: {anonymous: true}\nchannels: [{name: '*'}]"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := s.conf.Load().Table().Match("orders"); d.Allow.Subscribe == nil {
		t.Error("the file's came first")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
