package redis

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
)

// The size of a page when none is asked for.
const (
	defaultLimit = 256
	defaultBytes = 256 << 10
)

// logPage is a page with what a follower needs besides.
type logPage struct {
	broker.Page
	print string // fingerprint of the head
	from  point  // where a follower of another epoch goes on
	last  point  // the last entry of the page, also if it could not be read
}

// Read returns a page of the log.
func (l *log) Read(ctx context.Context, r broker.Range) (broker.Page, error) {
	page, err := l.page(ctx, r, l.broker.evidence.seen(l.name), false)
	if err != nil {
		return broker.Page{}, l.broker.failure(err)
	}
	return page.Page, nil
}

// page runs the script that reads a log. seen is what is known of it; of a
// follower, where it stands.
func (l *log) page(ctx context.Context, r broker.Range, seen []point, follower bool) (page logPage, err error) {
	b, d := l.broker, l.declared.Load()
	messages, bytes, age := limits(d)
	reply := b.run(ctx, b.logCall(pageScript, l.name, d, seen,
		strconv.FormatUint(r.After, 10), strconv.Itoa(max(r.Last, 0)), strconv.Itoa(cmp.Or(max(r.Limit, 0), defaultLimit)), strconv.Itoa(cmp.Or(max(r.Bytes, 0), defaultBytes)),
		messages, bytes, age, flag(follower), strconv.FormatUint(r.Before, 10)))[0]
	if reply.err != nil || len(reply.list) == 0 {
		return page, reply.err
	}
	f, err := reply.texts(7)
	if err != nil || len(reply.list) != 8 {
		return page, errOr(err, errGarbled)
	}
	page.Epoch, page.print, page.More = f[0], f[2], f[4] == "1"
	var ok [3]bool
	page.Head, ok[0] = parseOffset(f[1])
	page.Oldest, ok[1] = parseOffset(f[3])
	page.from = point{epoch: f[0], print: f[6], lineage: b.lineage()}
	page.from.offset, ok[2] = parseOffset(f[5])
	if !validEpoch(f[0]) || !validPrint(f[2]) || ok != [3]bool{true, true, true} {
		return page, errGarbled
	}
	entries, err := reply.list[7].ToArray()
	if err != nil || len(entries)%4 != 0 {
		return page, errGarbled
	}
	for ; len(entries) > 0; entries = entries[4:] {
		if err := b.entry(&page, l.name, entries); err != nil {
			return page, err
		}
	}
	return page, nil
}

// entry adds an entry of a page: offset, fingerprint, time, message. One whose
// message cannot be read is left out, which a follower takes for a hole.
func (b *Broker) entry(page *logPage, name string, fields []rueidis.RedisMessage) error {
	f, err := reply{list: fields}.texts(4)
	if err != nil {
		return err
	}
	offset, ok := parseOffset(f[0])
	time, right := parseTime(f[2])
	if !ok || !right || !validPrint(f[1]) {
		return errGarbled
	}
	page.last = point{epoch: page.Epoch, offset: offset, print: f[1], lineage: page.from.lineage}
	e, err := decode(f[3], offset, time, false)
	if err != nil {
		b.garbled(name, err)
		return nil
	}
	page.Entries = append(page.Entries, e)
	return nil
}

// State returns a page of the latest messages of the keys.
func (l *log) State(ctx context.Context, r broker.StateRange) (page broker.StatePage, err error) {
	b, d := l.broker, l.declared.Load()
	reply := b.run(ctx, b.logCall(stateScript, l.name, d, b.evidence.seen(l.name),
		strconv.FormatUint(r.After, 10), strconv.Itoa(cmp.Or(max(r.Limit, 0), defaultLimit)), strconv.Itoa(cmp.Or(max(r.Bytes, 0), defaultBytes)), stateAge(d)))[0]
	if reply.err != nil {
		return page, b.failure(reply.err)
	}
	if len(reply.list) == 0 {
		return page, nil
	}
	f, err := reply.texts(4)
	if err != nil || len(reply.list) != 5 {
		return page, b.failure(errOr(err, errGarbled))
	}
	page.Epoch, page.More = f[0], f[3] == "1"
	var ok, right bool
	page.Head, ok = parseOffset(f[1])
	page.Forgotten, right = parseOffset(f[2])
	values, err := reply.list[4].AsStrSlice()
	if err != nil || !ok || !right || !validEpoch(f[0]) {
		return broker.StatePage{}, b.failure(errGarbled)
	}
	for _, v := range values {
		e, err := decodeKept(v)
		if err != nil {
			b.garbled(l.name, err)
			continue
		}
		page.Entries = append(page.Entries, e)
	}
	return page, nil
}

// decodeKept makes the entry of a key's latest message: "offset time message".
func decodeKept(v string) (*channel.Entry, error) {
	first, rest, ok := strings.Cut(v, " ")
	second, message, more := strings.Cut(rest, " ")
	if !ok || !more {
		return nil, errGarbled
	}
	offset, ok := parseOffset(first)
	time, right := parseTime(second)
	if !ok || !right || offset == 0 {
		return nil, errGarbled
	}
	return decode(message, offset, time, false)
}
