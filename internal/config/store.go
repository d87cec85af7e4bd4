package config

import (
	"path/filepath"

	"ringdown/internal/store"
)

// store reads where messages are kept. Without the key they stay in memory.
func (f fields) store() *store.Options {
	s, ok := f.mapping("store")
	if !ok {
		return nil
	}
	o := &store.Options{Dir: s.text("dir"), Fsync: store.Fsync(s.text("fsync")), Interval: s.duration("interval")}
	if n := s.node.child("dir"); n == nil {
		f.fail(f.node.child("store").place, "name a directory for it, as in store: {dir: ./data}", "store has no dir")
	} else if o.Dir != "" && !filepath.IsAbs(o.Dir) {
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
