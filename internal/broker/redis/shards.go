package redis

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// In a Cluster, PUBLISH goes to every server. Since 7.0 there is SPUBLISH, which
// stays with the servers of a slot, so that a Cluster hears more with more of
// them. A node then has a connection to each primary, and each hears the logs of
// that primary's slots. A single server would gain nothing by it.
//
// When a slot moves to another primary, its old one ends the subscriptions of
// its topics. What is published between that and the new subscriptions is heard
// by nobody, so each log is read from where its feed stands once its topic is
// subscribed anew.

// slots is how many a Cluster has.
const slots = 16384

// slotRange is a run of slots that are one primary's.
type slotRange struct {
	from, to int
	address  string
}

// survey is what a server says of its Cluster.
type survey struct {
	epoch  uint64 // grows with every change that the servers agreed on
	usable bool
	ranges []slotRange
}

var errCluster = errors.New("redis: the cluster says that it is down")

// survey asks all servers of the Cluster about it and takes the newest answer: a
// primary that was cut off goes on to tell how everything was.
func (b *Broker) survey(ctx context.Context) (best survey, err error) {
	c := b.client()
	if c == nil {
		return best, errDown
	}
	type answer struct {
		survey
		err error
	}
	nodes := c.Nodes()
	answers := make(chan answer, len(nodes))
	for address, node := range nodes {
		b.work.Go(func() {
			s, err := surveyOf(ctx, address, node)
			answers <- answer{s, err}
		})
	}
	err = errDown
	var enough <-chan time.Time // who is slower than this after the first is not waited for
	for range nodes {
		select {
		case a := <-answers:
			switch {
			case a.err != nil:
				if errors.Is(err, errDown) {
					err = a.err
				}
				continue
			case enough == nil:
				enough = time.After(100 * time.Millisecond)
				best = a.survey
			case a.epoch > best.epoch || a.epoch == best.epoch && a.usable && !best.usable:
				best = a.survey
			}
			err = nil
		case <-enough:
			return best, nil
		case <-ctx.Done():
			return best, err
		}
	}
	return best, err
}

// surveyOf asks one server.
func surveyOf(ctx context.Context, address string, c rueidis.Client) (s survey, err error) {
	replies := c.DoMulti(ctx, c.B().ClusterInfo().Build(), c.B().ClusterSlots().Build())
	info, err := replies[0].ToString()
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(strings.TrimPrefix(info, "txt:")) { // RESP3 says what kind of text it is
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "cluster_state":
			s.usable = value == "ok"
		case "cluster_current_epoch":
			s.epoch, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	runs, err := replies[1].ToArray()
	if err != nil {
		return s, err
	}
	for _, run := range runs {
		r, ok := parseSlots(run, address)
		if !ok {
			return s, errGarbled
		}
		if r.address != "" {
			s.ranges = append(s.ranges, r)
		}
	}
	slices.SortFunc(s.ranges, func(a, b slotRange) int { return a.from - b.from })
	return s, nil
}

// parseSlots reads one run of CLUSTER SLOTS: first, last, primary, replicas. The
// address is empty where the primary's is not known.
func parseSlots(run rueidis.RedisMessage, asked string) (r slotRange, ok bool) {
	fields, err := run.ToArray()
	if err != nil || len(fields) < 3 {
		return r, false
	}
	from, err1 := fields[0].AsInt64()
	to, err2 := fields[1].AsInt64()
	primary, err3 := fields[2].ToArray()
	if err := errors.Join(err1, err2, err3); err != nil || from < 0 || to < from || to >= slots || len(primary) < 2 {
		return r, false
	}
	r = slotRange{from: int(from), to: int(to)}
	host, _ := primary[0].ToString() // null: the one that was asked
	port, err := primary[1].AsInt64()
	if err != nil {
		return r, false
	}
	switch host {
	case "?":
		return r, true
	case "":
		if host, _, err = net.SplitHostPort(asked); err != nil {
			return r, false
		}
	}
	r.address = net.JoinHostPort(host, strconv.FormatInt(port, 10))
	return r, true
}

// surveyed takes what a survey found.
func (b *Broker) surveyed(s survey) {
	var primaries []string
	for _, r := range s.ranges {
		primaries = append(primaries, r.address)
	}
	slices.Sort(primaries)
	primaries = slices.Compact(primaries)
	before := b.server.primaries
	b.server.primaries = primaries
	if b.follows.sharded {
		b.route(s.ranges)
	}
	if before != nil && !slices.Equal(before, primaries) {
		b.opts.Logger.Info("the primaries of the Redis Cluster are others now", "primaries", primaries)
		b.verifySoon() // one of them may lack what its predecessor accepted
	}
}

// route makes each topic be heard by who is connected to the primary of its
// slot.
func (b *Broker) route(ranges []slotRange) {
	s := &b.follows
	s.mu.Lock()
	defer s.mu.Unlock()
	if strays := s.strays; len(strays) > 0 {
		s.strays = map[string]struct{}{}
		for topic := range strays {
			if list := s.byTopic[topic]; len(list) > 0 {
				s.turn(list[0])
			}
		}
	}
	if slices.Equal(s.ranges, ranges) {
		return
	}
	s.ranges = ranges
	shards, owners := map[string]*listener{}, make([]*listener, slots)
	for _, r := range ranges {
		l := shards[r.address]
		if l == nil {
			if l = s.shards[r.address]; l == nil {
				l = b.newListener(r.address)
				b.work.Go(func() { b.subscriptions(l) })
			}
			shards[r.address] = l
		}
		for i := r.from; i <= r.to; i++ {
			owners[i] = l
		}
	}
	for address, l := range s.shards {
		if shards[address] == nil {
			l.cancel()
		}
	}
	before := s.owners
	s.shards, s.owners = shards, owners
	for _, list := range s.byTopic {
		f := list[0]
		if before != nil && before[f.slot] != owners[f.slot] {
			before[f.slot].turn(f.topic)
			s.turn(f)
		}
	}
}

// stray notes topics whose subscription ended, or was refused, because their
// slot is on another server: they are subscribed there once it is known which.
func (b *Broker) stray(l *listener, topics ...string) {
	s := &b.follows
	s.mu.Lock()
	found := false
	for _, topic := range topics {
		if s.heardBy(topic, l) {
			s.strays[topic] = struct{}{}
			found = true
		}
	}
	s.mu.Unlock()
	if found {
		b.doubt(nil)
	}
}

// modern reports whether all servers of a Cluster that answer know SPUBLISH.
func (b *Broker) modern(ctx context.Context, c rueidis.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout/2)
	defer cancel()
	nodes := c.Nodes()
	majors := make(chan int, len(nodes))
	for _, node := range nodes {
		b.work.Go(func() { majors <- major(ctx, node) })
	}
	known, all := false, true
	for range nodes {
		n := <-majors
		known, all = known || n > 0, all && (n == 0 || n >= 7)
	}
	return known && all
}

// major returns the major version of a server; 0 if it does not answer.
func major(ctx context.Context, node rueidis.Client) int {
	info, err := node.Do(ctx, node.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return 0
	}
	for line := range strings.Lines(info) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			first, _, _ := strings.Cut(version, ".")
			n, _ := strconv.Atoi(first)
			return max(n, 1)
		}
	}
	return 1
}

// slotOf returns the slot of a topic, or of keys that begin with it: the CRC16
// of what is between the braces. Every topic of ours has them.
func slotOf(topic string) uint16 {
	_, rest, _ := strings.Cut(topic, "{")
	tag, _, _ := strings.Cut(rest, "}")
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			top := crc & 0x8000
			if crc <<= 1; top != 0 {
				crc ^= 0x1021
			}
		}
	}
	return crc % slots
}
