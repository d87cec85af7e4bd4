package redis

import (
	"errors"
	"strconv"
	"strings"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// What is published to a channel's topic begins with the version of this format
// and what it is, then fields, one space between them:
//
//	R1k epoch offset time before fingerprint\nmessage    kept
//	R1e time ephemeral\nmessage                          not kept
//	R1n epoch                                            the epoch is a new one
//
// A message begins with its form, 'j' for JSON or 'b' for a JSON head and bytes.
// It says neither offset nor time: those are given by Redis.
type news struct {
	kind      byte // 'k', 'e' or 'n'
	epoch     string
	offset    uint64
	time      int64
	before    string // fingerprint of the entry before this one
	print     string
	ephemeral bool
	message   string
}

// The bounds of what is taken from Redis.
const (
	maxEpoch = 32
	maxPrint = 16
	// maxMessage is above all that the edge lets through (limits.connection.max_message),
	// and keeps garbage from being parsed at length.
	maxMessage = 32 << 20
)

var errGarbled = errors.New("redis: what came is not in our format")

// parseNews takes apart what was published. The result aliases s.
func parseNews(s string) (n news, err error) {
	if len(s) < 4 || s[:2] != "R1" || s[3] != ' ' || len(s) > maxMessage {
		return n, errGarbled
	}
	n.kind = s[2]
	head, message, _ := strings.Cut(s[4:], "\n")
	if len(head) > 160 {
		return n, errGarbled
	}
	n.message = message
	var field [6]string
	at := 0
	for rest, more := head, true; more; at++ {
		if at == len(field) {
			return n, errGarbled
		}
		field[at], rest, more = strings.Cut(rest, " ")
	}
	ok := false
	switch n.kind {
	case 'k':
		n.epoch, n.before, n.print = field[0], field[3], field[4]
		var right bool
		n.offset, right = parseOffset(field[1])
		n.time, ok = parseTime(field[2])
		ok = ok && right && at == 5 && n.offset > 0 && validEpoch(n.epoch) && validPrint(n.before) && validPrint(n.print)
	case 'e':
		n.time, ok = parseTime(field[0])
		n.ephemeral = field[1] == "1"
		ok = ok && at == 2 && len(field[1]) == 1
	case 'n':
		n.epoch = field[0]
		ok = at == 1 && message == "" && validEpoch(n.epoch)
	}
	if !ok {
		return news{}, errGarbled
	}
	return n, nil
}

func parseOffset(s string) (uint64, bool) {
	v, err := strconv.ParseUint(s, 10, 64)
	return v, err == nil && v <= protocol.MaxOffset && (s[0] != '0' || len(s) == 1)
}

func parseTime(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil && v >= 0
}

func validEpoch(s string) bool { return s != "" && len(s) <= maxEpoch }
func validPrint(s string) bool { return s != "" && len(s) <= maxPrint }

// encode returns the message as it is kept. It copies all it needs of p.
func encode(p *broker.Publication) string {
	m := protocol.Message{Type: p.Message.Type, Channel: p.Message.Channel, Data: p.Message.Data,
		Binary: p.Message.Binary, Key: p.Message.Key, From: p.Message.From}
	b := make([]byte, 0, 96+len(m.Channel)+len(m.Key)+len(m.From)+len(m.Data))
	if m.Binary {
		b = protocol.AppendBinary(append(b, 'b'), &m)
	} else {
		b = protocol.AppendJSON(append(b, 'j'), &m)
	}
	return string(b)
}

// decode makes the entry of a message that came from Redis, which may be
// anything. offset is 0 for what is not kept.
func decode(s string, offset uint64, time int64, ephemeral bool) (*channel.Entry, error) {
	if len(s) < 2 || len(s) > maxMessage {
		return nil, errGarbled
	}
	var m protocol.Message
	var err error
	frame := []byte(s[1:])
	switch s[0] {
	case 'j':
		err = protocol.DecodeJSON(frame, &m)
	case 'b':
		err = protocol.DecodeBinary(frame, &m)
	default:
		err = errGarbled
	}
	if err != nil {
		return nil, err
	}
	if m.Channel == "" {
		return nil, errGarbled
	}
	e := protocol.Message{Type: m.Type, Channel: m.Channel, Data: m.Data, Binary: m.Binary, Key: m.Key, From: m.From, Time: time}
	if offset > 0 {
		// Offsets are dense: there is one behind another, also where epochs meet.
		e.Kept, e.Offset, e.Prev = true, offset, offset-1
	}
	return channel.NewEntry(&e, ephemeral), nil
}
