package config

import (
	"path/filepath"
	"slices"

	"ringdown/internal/channel"
	"ringdown/internal/store"
)

// defaultDir is where the messages are kept of a configuration file that does
// not say it: a channel that promises a history keeps it through a restart.
const defaultDir = "ringdown-data"

// store reads where messages are kept; nil: in memory. It comes after the
// channels.
func (f fields) store() *store.Options {
	s, ok := f.mapping("store")
	if !ok {
		if f.conf.Redis != nil || f.conf.Dev || !f.placed || !f.keeps() {
			return nil
		}
		return &store.Options{Dir: filepath.Join(f.dir, defaultDir)}
	}
	o := &store.Options{Dir: s.text("dir"), Fsync: store.Fsync(s.text("fsync")), Interval: s.duration("interval")}
	if s.boolean("memory") {
		if s.node.child("dir") != nil || s.node.child("fsync") != nil || s.node.child("interval") != nil {
			f.fail(f.node.child("store").place, "write store: {memory: true} or store: {dir: ./data}", "a store in memory has nothing else to say")
		}
		return nil
	}
	if o.Dir == "" {
		o.Dir = defaultDir
	}
	if !filepath.IsAbs(o.Dir) {
		o.Dir = filepath.Join(f.dir, o.Dir)
	}
	if f.conf.Redis != nil {
		f.warn(f.node.child("store").place, "remove one of the two", "store has no meaning beside broker, which keeps the messages then")
	}
	if n := s.node.child("interval"); n != nil && o.Fsync != store.Interval {
		f.warn(n.place, "write fsync: interval, or remove it", "interval has no meaning without fsync: interval")
	}
	return o
}

// keeps reports whether any channel keeps messages.
func (f fields) keeps() bool {
	return slices.ContainsFunc(f.conf.Channels, (*channel.Declaration).Kept)
}
