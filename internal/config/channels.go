package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ringdown/internal/channel"
	"ringdown/internal/rule"
	"ringdown/protocol"
)

func (f fields) channels() {
	for i, text := range f.opts.Channels {
		f.declareGiven(fmt.Sprintf("Options.Channels[%d]", i), text)
	}
	_, n := f.get("channels")
	switch {
	case n == nil && f.node.child("channels") == nil && !f.opts.Dev && len(f.opts.Channels) == 0:
		for _, p := range f.node.pairs {
			if nearest(p.key.text, []string{"channels"}) != "" {
				return // told already
			}
		}
		f.fail(place{1, 1}, "write them under channels:, as in\nchannels:\n  - name: orders\n    allow: {subscribe: signed_in}", "no channels are declared, so there is nothing to serve")
	case n == nil:
	case n.kind == mapping:
		f.fail(n.place, "write each as an item: - name: orders", "channels is a list, not a mapping: the order matters, the first that matches holds")
	case n.kind != list:
		f.fail(n.place, "write each as an item: - name: orders", "channels is a list, not %s", n.kind)
	default:
		for _, item := range n.items {
			if c, ok := f.loader.fields(item, channelKeys); ok {
				f.declare(c)
			}
		}
	}
	f.buildTable()
}

// declareGiven declares a channel that the program has given beside the file. It is
// read as one of the file is, and has no place in it.
func (f fields) declareGiven(name string, text []byte) {
	given := *f.loader
	given.report = report{file: name}
	if n, err := nodeOf(text); err != nil {
		given.fail(place{}, "", "%v", err)
	} else if c, ok := given.fields(n, channelKeys); ok {
		fields{&given, f.node, f.of}.declare(c)
	}
	f.problems = append(f.problems, given.problems...)
	f.warnings = append(f.warnings, given.warnings...)
}

// declare reads one channel and takes it over if its name is good.
func (f fields) declare(c fields) {
	_, n := c.get("name")
	if n == nil {
		if c.node.child("name") == nil {
			f.fail(c.node.place, "add name: and what it is called, as in orders or chat:{room}", "this channel has no name")
		}
		return
	}
	if !f.isText("name", n) {
		return
	}
	d := &channel.Declaration{
		Name:     n.text,
		About:    c.text("about"),
		Presence: c.boolean("presence"),
		ShowFrom: c.boolean("show_from"),
		Resume:   c.duration("resume"),
		Line:     n.line,
	}
	d.History = c.history()
	if s, ok := c.mapping("state"); ok {
		d.State = &channel.State{For: s.duration("for")}
	}
	if b, ok := c.mapping("buffer"); ok {
		d.Buffer = channel.Buffer{Messages: int(b.number("messages")), Bytes: int(b.size("bytes"))}
	}
	d.Events = c.events()
	c.typing(d)
	c.allow(d)
	// A table of its own tells whether the name is one, before the others are known.
	if _, err := channel.NewTable([]*channel.Declaration{d}); err != nil {
		f.fail(n.place, patternRemedy(n.text), "%s", plain(err))
		return
	}
	f.conf.Channels = append(f.conf.Channels, d)
}

func patternRemedy(name string) string {
	switch {
	case strings.Contains(name, "*"):
		return "a parameter such as {name} matches one level; * is possible alone only, and matches every name"
	case strings.Contains(name, " "):
		return "a name has no spaces; levels are parted by colons, as in chat:{room}"
	}
	return ""
}

// plain returns an error's text without the name of the protocol's code.
func plain(err error) string {
	text := err.Error()
	var coded *protocol.Error
	if errors.As(err, &coded) {
		text = strings.Replace(text, coded.Error(), coded.Message, 1)
	}
	return text
}

// buildTable makes the table of all declarations. It tells every one that can
// never be reached, not only the first.
func (f fields) buildTable() {
	c := f.conf
	if f.opts.Dev {
		for _, d := range devChannels() {
			// What the file declares for these names holds.
			_, err := channel.NewTable(append(slices.Clone(c.Channels), d))
			var hidden *channel.HiddenError
			if !errors.As(err, &hidden) || hidden.Name != d.Name {
				c.Channels = append(c.Channels, d)
			}
		}
	}
	for list := c.Channels; ; {
		table, err := channel.NewTable(list)
		var hidden *channel.HiddenError
		if !errors.As(err, &hidden) {
			if err != nil {
				f.fail(place{}, "", "%s", plain(err))
			}
			c.table = table
			return
		}
		at := lastNamed(list, hidden.Name)
		f.fail(f.nameOf(list[at]), "", "%s", plain(err))
		list = append(append([]*channel.Declaration{}, list[:at]...), list[at+1:]...)
	}
}

// lastNamed returns the place of the declaration that is hidden: of two that
// have the same name, the second.
func lastNamed(list []*channel.Declaration, name string) int {
	seen := false
	for i, d := range list {
		if d.Name != name {
			continue
		}
		if seen {
			return i
		}
		seen = true
	}
	for i, d := range list {
		if d.Name == name {
			return i
		}
	}
	return 0
}

// nameOf finds where the name of a declaration stands.
func (f fields) nameOf(d *channel.Declaration) place {
	if n := f.node.child("channels"); n != nil {
		for _, item := range n.items {
			if name := item.child("name"); name != nil && name.line == d.Line && name.text == d.Name {
				return name.place
			}
		}
	}
	return place{d.Line, 1}
}

func (f fields) history() *channel.History {
	h, ok := f.mapping("history")
	if !ok {
		return nil
	}
	out := &channel.History{Messages: int(h.number("messages")), Bytes: h.size("bytes"), For: h.duration("for")}
	if h.node.child("messages") == nil && h.node.child("bytes") == nil {
		f.fail(h.node.place, "add messages: 1000, or as many as a client may miss", "history has neither messages nor bytes, so nothing bounds the memory it takes")
	}
	return out
}

func (f fields) allow(d *channel.Declaration) {
	a, ok := f.mapping("allow")
	if !ok {
		if f.node.child("allow") == nil {
			f.warn(f.node.child("name").place, "add allow: {subscribe: signed_in}, or whoever it is for", "the channel %s has no allow, so clients may do nothing with it", d.Name)
		}
		return
	}
	known := patternParams(d.Name)
	d.Allow.Subscribe = a.rule("subscribe", known)
	d.Allow.Publish = a.rule("publish", known)
	d.Allow.Presence = a.rule("presence", known)
	d.Allow.History = a.rule("history", known)
	for op := channel.OpSubscribe; op <= channel.OpHistory; op++ {
		if n := a.node.child(op.String()); n != nil {
			d.Allow.Lines[op] = n.line
		}
	}
	switch {
	case d.Presence && d.Allow.Presence == nil:
		f.warn(f.node.child("presence").place, "add presence: signed_in under allow, or whoever it is for", "presence is on for %s, but allow does not say who may enter, so nobody may", d.Name)
	case !d.Presence && d.Allow.Presence != nil:
		f.warn(a.node.child("presence").place, "add presence: true to the channel", "allow says who may use presence, but presence is not on for %s", d.Name)
	}
}

var paramInName = regexp.MustCompile(`\{([^{}]*)\}`)

func patternParams(name string) []string {
	var names []string
	for _, m := range paramInName.FindAllStringSubmatch(name, -1) {
		names = append(names, m[1])
	}
	return names
}

// rule reads one rule, and checks that the parameters it asks for are there.
func (f fields) rule(name string, params []string) channel.Rule {
	_, n := f.get(name)
	if n == nil {
		return nil
	}
	if n.kind != text {
		remedy := "write anyone, signed_in, none or an expression such as user == params.user"
		if n.kind == boolean {
			remedy = map[string]string{"true": "write anyone", "false": "write none"}[strings.ToLower(n.text)]
		}
		f.fail(n.place, remedy, "%s is a rule, not %s", name, n.kind)
		return nil
	}
	r, err := rule.Compile(n.text)
	var bad *rule.Error
	switch {
	case errors.As(err, &bad):
		f.fail(n.within(bad.Line, bad.Column), bad.Remedy, "the rule of %s: %s", name, bad.What)
		return nil
	case err != nil:
		f.fail(n.place, "", "the rule of %s: %v", name, err)
		return nil
	}
	for _, ref := range rule.Params(r) {
		if !slices.Contains(params, ref.Name) {
			remedy := "this channel's name has no parameters; a parameter is written as in chat:{room}"
			if len(params) > 0 {
				remedy = "the name has " + strings.Join(params, ", ")
			}
			if near := nearest(ref.Name, params); near != "" {
				remedy = fmt.Sprintf("did you mean params.%s?", near)
			}
			f.fail(n.within(ref.Line, ref.Column), remedy, "the rule of %s asks for params.%s, which the channel's name does not have", name, clip(ref.Name))
		}
	}
	return r
}
