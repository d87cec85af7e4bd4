package store

import (
	"strings"

	"ringdown/protocol"
)

// Claim says that somebody was given the message p of a log. A log that has not
// come to p, in the same epoch, was set back: its directory is an older copy of
// itself that was put there. From then on offsets would be given out twice, so
// that the store goes on in a new epoch.
//
// Whoever says so may be lying. But a store is only ever set back between two
// openings, so that one claim counts for each, and none in an epoch that began
// since this one.
func (s *Store) Claim(log string, p protocol.Position) {
	if p.Epoch != s.Epoch() || !validName(log) {
		return
	}
	_ = s.push(item{claim: &p, log: strings.Clone(log)}) // refused only when the store is closing
}

// judge looks at a claim. The group so far counts.
func (s *Store) judge(it item) {
	if s.begun || it.claim.Epoch != s.Epoch() {
		return
	}
	o := s.positionOf(it.log)
	if o.err == nil && it.claim.Offset > o.result.Offset && it.claim.Offset <= protocol.MaxOffset {
		s.group.ahead = &it
	}
}

// restart begins a new epoch. It comes after all that the group told.
func (s *Store) restart(why *item) {
	c := s.control
	c.Epoch = newEpoch()
	if err := c.write(s.fs, s.opts.Dir); err != nil {
		s.opts.Logger.Error("a new epoch could not be written down; the next claim tries again", "error", err)
		return
	}
	s.control, s.begun = c, true
	s.epoch.Store(&c.Epoch)
	s.opts.Logger.Warn("the store was set back: a client has seen what it does not have. It begins a new epoch, and clients that come back are told. Was an older copy of the directory put there? Next time create an empty file "+restoredName+" in it before the start",
		"dir", s.opts.Dir, "channel", why.log, "seen", why.claim.Offset, "head", s.positionOf(why.log).result.Offset)
	if s.opts.Restarted != nil {
		s.opts.Restarted(c.Epoch, func(log string) (uint64, error) {
			o := s.positionOf(log)
			return o.result.Offset, o.err
		})
	}
}
