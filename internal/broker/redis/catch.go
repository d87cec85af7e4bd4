package redis

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
)

// catchUps reads for those whose feed does not continue.
func (b *Broker) catchUps() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case f := <-b.follows.catch:
			server := b.follows.server(f)
			if !b.suspects.begin(server) {
				b.giveUp(f)
				continue
			}
			err := b.catchUp(f)
			b.suspects.end(server, err)
			if err != nil {
				b.giveUp(f)
			}
		}
	}
}

// giveUp has a follow that could not be caught up tried again in a moment: others
// wait for a catcher, too.
func (b *Broker) giveUp(f *follow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queued = false
	if f.state != catching {
		return
	}
	f.state = live
	time.AfterFunc(catchAgain, func() {
		if b.ctx.Err() == nil {
			b.lagNow(f)
		}
	})
}

const (
	catchAgain = 200 * time.Millisecond
	// askTurn is how long one catcher keeps the others from asking a suspect.
	askTurn = 5 * time.Second
)

// suspects are the servers that did not answer a catcher the last time, by who
// listens to them. One catcher at a time asks each of them, so that the others
// are there for the rest. The value says since when one does; zero: none does.
type suspects struct {
	mu    sync.Mutex
	asked map[*listener]time.Time
}

// begin reports whether a catcher may ask.
func (s *suspects) begin(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, suspect := s.asked[l]
	if suspect && time.Since(since) < askTurn {
		return false
	}
	if suspect {
		s.asked[l] = time.Now()
	}
	return true
}

// end notes how that went. An answer that is an error is an answer.
func (s *suspects) end(l *listener, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, answered := rueidis.IsRedisErr(err); err == nil || answered || errors.Is(err, errGarbled) {
		delete(s.asked, l)
		return
	}
	if s.asked == nil {
		s.asked = map[*listener]time.Time{}
	}
	s.asked[l] = time.Time{}
}

// catchUp gives the feed of f what it lacks, from the log.
func (b *Broker) catchUp(f *follow) error {
	b.metrics.Holes.Add(1)
	for {
		f.mu.Lock()
		if f.state == gone {
			f.mu.Unlock()
			return nil
		}
		f.state, f.hint = catching, 0
		at := f.at
		f.mu.Unlock()
		page, err := f.page(b.ctx, broker.Range{After: at.offset}, []point{at}, true)
		if err != nil {
			b.opts.Logger.Debug("reading a followed log failed", "channel", f.name, "error", err)
			return err
		}
		if page.Epoch == "" {
			// There is no log: Redis was emptied. It gets one, and with it an epoch.
			if err := b.make(f); err != nil {
				return err
			}
			continue
		}
		if b.advance(f, at, page) {
			return nil
		}
	}
}

// make makes a log where there is none.
func (b *Broker) make(f *follow) error {
	_, err := b.run(b.ctx, b.logCall(positionScript, f.name, f.declared.Load(), nil, "1"))[0].texts(3)
	return err
}

// advance feeds a page that was read behind at, and reports whether f is live
// again.
func (b *Broker) advance(f *follow, at point, page logPage) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == gone || f.at != at {
		return f.state == gone
	}
	if page.Epoch != at.epoch {
		b.restart(f, page.from)
	}
	f.at.lineage = page.from.lineage
	for _, e := range page.Entries {
		f.follower.Entry(page.Epoch, e)
	}
	if page.last.offset > 0 {
		f.at = page.last
	}
	if page.More {
		return false
	}
	if page.Oldest > f.at.offset {
		// Everything up to the head was dropped already. The entry that comes next
		// does not continue what the feed had before, which tells of the hole.
		f.at.offset, f.at.print = page.Head, page.print
	}
	if f.hint > f.at.offset {
		return false // more was heard of since the page was asked for
	}
	f.queued = false
	f.state = live
	return true
}

// checks looks at the heads of the followed logs in turns, and at those who wait
// to follow.
func (b *Broker) checks() {
	t := time.NewTicker(b.opts.Check / 2)
	defer t.Stop()
	var turn []*follow // who is still to be looked at in this round
	for n := 0; ; n++ {
		select {
		case <-b.ctx.Done():
			return
		case <-t.C:
		}
		b.expire()
		if !b.started.Load() || b.server.down.Load() {
			continue
		}
		if len(turn) == 0 {
			turn = b.followed()
		}
		some := min(len(turn), checkBatch)
		b.check(turn[:some])
		turn = turn[some:]
		if b.opts.Cluster && n%20 == 0 {
			// A cluster does not say when one of its primaries became another.
			b.verify(b.evidence.names())
		}
	}
}

// checkBatch is how many heads are looked at each time.
const checkBatch = 4096

// followed returns the follows that have a log.
func (b *Broker) followed() []*follow {
	b.follows.mu.RLock()
	defer b.follows.mu.RUnlock()
	list := make([]*follow, 0, len(b.follows.byTopic))
	for _, all := range b.follows.byTopic {
		for _, f := range all {
			if f.declared.Load().Kept() {
				list = append(list, f)
			}
		}
	}
	return list
}

// expire answers those who wait to follow for too long.
func (b *Broker) expire() {
	b.follows.mu.RLock()
	var late []*follow
	for f := range b.follows.joining {
		if time.Since(f.asked) > b.opts.Timeout {
			late = append(late, f)
		}
	}
	b.follows.mu.RUnlock()
	for _, f := range late {
		b.fail(f, errDown)
	}
}

// check compares where feeds stand with where their logs do, but for those that
// something came for just now: should what comes next be lost, it is found the next
// time. What is ahead only a little may be on its way, and gets a moment.
func (b *Broker) check(list []*follow) {
	before := make([]point, 0, len(list))
	some := list[:0:0]
	for _, f := range list {
		f.mu.Lock()
		if f.state == live && f.at.epoch != "" && !f.heard {
			some, before = append(some, f), append(before, f.at)
		}
		f.heard = false
		f.mu.Unlock()
	}
	heads := b.heads(some)
	if heads == nil {
		return
	}
	var ahead []*follow
	var offsets []uint64
	for i, f := range some {
		h := heads[i]
		switch {
		case h == unknown, h == before[i].head():
		case h.epoch == before[i].epoch && h.offset > before[i].offset:
			ahead, offsets = append(ahead, f), append(offsets, h.offset)
		default:
			b.lagNow(f)
		}
	}
	if len(ahead) == 0 || !b.doze(b.opts.Check/20) {
		return
	}
	for i, f := range ahead {
		f.mu.Lock()
		if f.at.offset < offsets[i] && f.state == live {
			b.lag(f)
		}
		f.mu.Unlock()
	}
}

func (b *Broker) lagNow(f *follow) {
	f.mu.Lock()
	if f.state == live {
		b.lag(f)
	}
	f.mu.Unlock()
}

// head is where a log stands.
type head struct {
	epoch  string
	offset uint64
	print  string
}

func (p point) head() head { return head{p.epoch, p.offset, p.print} }

// unknown is the head of a log whose server did not answer.
var unknown = head{offset: math.MaxUint64}

// heads asks where logs stand; a log that is not there has the zero head.
func (b *Broker) heads(list []*follow) []head {
	c := b.client()
	if c == nil || len(list) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout)
	defer cancel()
	commands := make(rueidis.Commands, len(list))
	for i, f := range list {
		commands[i] = c.B().Hmget().Key(f.topic+metaKey).Field("e", "o", "f").Build()
	}
	heads := make([]head, len(list))
	for i, r := range c.DoMulti(ctx, commands...) {
		values, err := r.ToArray()
		if err != nil || len(values) != 3 {
			b.doubt(err)
			heads[i] = unknown
			continue
		}
		heads[i].epoch, _ = values[0].ToString()
		offset, _ := values[1].ToString()
		heads[i].offset, _ = strconv.ParseUint(offset, 10, 64)
		heads[i].print, _ = values[2].ToString()
	}
	return heads
}

// verifySoon has everything looked at that this node knows of Redis.
func (b *Broker) verifySoon() {
	if b.ctx.Err() != nil {
		return
	}
	b.roster.mu.Lock()
	b.roster.again = true
	b.roster.mu.Unlock()
	b.work.Go(func() {
		for all := b.followed(); len(all) > 0; {
			n := min(len(all), checkBatch)
			for _, f := range all[:n] {
				b.lagNow(f)
			}
			all = all[n:]
		}
		b.verify(b.evidence.names())
	})
}

// verify holds what this node has seen of some channels against their logs.
func (b *Broker) verify(names []string) {
	for len(names) > 0 && b.ctx.Err() == nil {
		n := min(len(names), batchCount)
		var calls []call
		var asked []string
		var told [][]point
		for _, name := range names[:n] {
			if seen := b.evidence.seen(name); len(seen) > 0 {
				asked, told = append(asked, name), append(told, seen)
				calls = append(calls, b.logCall(positionScript, name, anyDeclaration, seen, "0"))
			}
		}
		names = names[n:]
		for i, r := range b.run(b.ctx, calls...) {
			if r.err == nil && len(r.list) == 0 {
				continue // it is gone; the next one will have another epoch
			}
			text, err := r.texts(3)
			if err != nil {
				continue // in a Cluster the other servers may be there
			}
			if offset, ok := parseOffset(text[1]); ok {
				b.evidence.add(asked[i], told[i], point{text[0], offset, text[2], b.lineage()})
			}
		}
	}
}

// anyDeclaration is for logs that are only looked at.
var anyDeclaration = &channel.Declaration{History: &channel.History{For: 24 * time.Hour}}
