// Package config reads the configuration file: YAML, with every problem told at
// once, each with its line and the remedy. It turns what it reads into the
// options of the rooms that use them, and changes nothing anywhere else, so that
// a reload can read a file first and swap afterwards.
package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/broker/redis"
	"ringdown/internal/channel"
	"ringdown/internal/front"
	"ringdown/internal/reactor"
	"ringdown/internal/store"
	"ringdown/internal/transport/poll"
	"ringdown/internal/transport/sse"
	"ringdown/internal/transport/websocket"
)

// Config is a configuration that was read and is good. It is not changed
// afterwards.
type Config struct {
	Listen    []string // host:port or unix:PATH; empty: not said
	Dev       bool
	Paths     []string // of the WebSocket, besides /v1/ws
	Origins   []string
	Auth      auth.Options
	Anonymous bool // clients without a token are let in
	Channels  []*channel.Declaration
	Calls     map[string]*channel.Call // that clients may make; nil: those that the application answers
	Limits    Limits
	Front     front.Policy // zero fields are the defaults; what counts addresses is among Limits
	// PresenceGrace is as session.Policy has it.
	PresenceGrace time.Duration
	Redis         *redis.Options // nil: this is the only node
	WebSocket     websocket.Options
	SSE           sse.Options
	Poll          poll.Options
	Engine        reactor.Options
	Documents     string         // DocumentsPublic or DocumentsKey
	Metrics       string         // the address of the metrics alone; empty: they are with the rest
	Store         *store.Options // nil: messages are kept in memory

	Files    []string // all files that were read, sorted
	Warnings []string // what is allowed and probably not meant; one line each

	table *channel.Table
}

// Table returns the table of the channels.
func (c *Config) Table() *channel.Table { return c.table }

// LoadOptions say where values come from.
type LoadOptions struct {
	// Dev adds declarations that match every channel and allow everything to
	// everybody, lets clients without a token in, and refuses to listen
	// beyond this machine.
	Dev bool
	// Known: the program tells itself who its clients are, so that they need no token.
	Known bool
	// Channels are declared before those of the file: each an item of channels, in JSON.
	Channels [][]byte
	// Env looks up environment variables for env: values. Default os.LookupEnv.
	Env func(name string) (string, bool)
	// ReadFile reads the configuration and the files that it names. Paths in the
	// file are relative to the directory that it is in. Default os.ReadFile.
	ReadFile func(path string) ([]byte, error)
}

// Load reads the file at path. The error is an *Errors with everything that is
// wrong with it.
func Load(path string, o LoadOptions) (*Config, error) {
	o = o.withDefaults()
	src, err := o.ReadFile(path)
	if err != nil {
		return nil, &Errors{List: []*Problem{{File: path, What: fileProblem(err)}}}
	}
	return read(path, src, []string{path}, o)
}

// Parse reads src, which is called name in errors. Files that it names are
// relative to the directory of name. The error is an *Errors.
func Parse(name string, src []byte, o LoadOptions) (*Config, error) {
	return read(name, src, nil, o.withDefaults())
}

func (o LoadOptions) withDefaults() LoadOptions {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	return o
}

func fileProblem(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		return "the file may not be read"
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return "the file cannot be read: " + err.Error()
}

// loader is one run of reading.
type loader struct {
	report
	opts   LoadOptions
	dir    string // absolute, of the configuration file
	placed bool   // it is a file, and dir its own
	files  map[string]bool
	conf   *Config
}

func read(name string, src []byte, files []string, o LoadOptions) (*Config, error) {
	// Editors of Windows begin a file with a byte order mark.
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	l := &loader{
		report: report{file: name, lines: strings.Split(string(src), "\n")},
		opts:   o,
		dir:    directory(name),
		placed: len(files) > 0,
		files:  make(map[string]bool),
		conf:   &Config{Dev: o.Dev},
	}
	for _, f := range files {
		l.files[f] = true
	}
	if root := parse(src, &l.report); root != nil {
		if f, ok := l.fields(root, fileKeys); ok {
			l.file(f)
		}
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	c := l.conf
	for f := range l.files {
		c.Files = append(c.Files, f)
	}
	slices.Sort(c.Files)
	for _, w := range tidy(l.warnings) {
		c.Warnings = append(c.Warnings, w.brief())
	}
	return c, nil
}

// directory returns the absolute directory of a file; schemas need one to
// resolve their references against.
func directory(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		abs = name
	}
	return filepath.Dir(abs)
}

func (l *loader) file(f fields) {
	c := l.conf
	c.Listen = f.listen()
	c.Origins = f.origins()
	seen := map[string]bool{}
	c.Paths = f.paths("/v1/ws", seen)
	c.Engine.Engine = f.text("engine")
	c.WebSocket.Paths = c.Paths
	c.WebSocket.Compression = f.boolean("compression")
	if beat, ok := f.mapping("heartbeat"); ok {
		c.WebSocket.PingInterval = beat.duration("ping")
		c.WebSocket.PongTimeout = beat.duration("timeout")
	}
	if presence, ok := f.mapping("presence"); ok && presence.node.child("grace") != nil {
		if c.PresenceGrace = presence.duration("grace"); c.PresenceGrace == 0 {
			c.PresenceGrace = -1
		}
	}
	if events, ok := f.mapping("sse"); ok {
		c.SSE.Heartbeat = events.duration("heartbeat")
		c.SSE.Paths = events.paths("/v1/sse", seen)
	}
	if polls, ok := f.mapping("poll"); ok {
		c.Poll.Paths = polls.paths("/v1/poll", seen)
	}
	if limits, ok := f.mapping("limits"); ok {
		c.Limits = limits.limits()
	}
	f.requests(&c.Front)
	c.Documents, c.Metrics = f.documents(), f.metrics()
	c.Redis = f.broker()
	f.auth()
	f.channels()
	c.Calls = f.calls()
	c.Store = f.store()
}

// devChannels are what --dev declares: every channel with history and presence,
// and those below state: with a state.
func devChannels() []*channel.Declaration {
	var list []*channel.Declaration
	for _, name := range []string{"state:{a}", "state:{a}:{b}", "state:{a}:{b}:{c}", channel.CatchAll} {
		d := &channel.Declaration{
			Name:     name,
			About:    "Every channel, in dev mode",
			History:  &channel.History{Messages: 100, For: 10 * time.Minute},
			Presence: true,
			ShowFrom: true,
			Allow:    channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone, Presence: channel.Anyone, History: channel.Anyone},
		}
		if name != channel.CatchAll {
			d.About = "The latest of each key, in dev mode"
			d.State = &channel.State{For: time.Hour}
		}
		list = append(list, d)
	}
	return list
}
