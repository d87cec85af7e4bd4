package redis

import "strings"

// Every key of a channel has the channel's encoded name as its hash tag, so that
// a cluster keeps them in one slot and one script may touch them all. What
// belongs to no channel has the tag "!", which no name encodes to.
const (
	metaKey   = ":m" // hash: e epoch, o offset, f fingerprint, b and g where the epoch began, n bytes, x forgotten deletions
	logKey    = ":l" // stream: f fingerprint, t time, m message; its ids are the offsets
	stateKey  = ":s" // hash: key to "offset time message"
	orderKey  = ":o" // sorted set: key by offset
	gravesKey = ":g" // sorted set: deleted key by offset
	dedupeKey = ":d:"
	roomKey   = ":p"  // hash: member id to "lease member"
	idsKey    = ":i"  // sorted set of equal scores: member ids
	heldKey   = ":h:" // set, one for each lease: member ids that it put in
	fencedKey = ":f"  // sorted set: leases that were dropped here, by when
)

// tag returns what stands for a channel's name between the braces of its keys.
// It is injective for all names, not only valid ones.
func tag(name string) string {
	if name == "" {
		return "%" // braces with nothing between them are no hash tag
	}
	plain := true
	for i := range len(name) {
		plain = plain && ordinary(name[i])
	}
	if plain {
		return name
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 3*len(name))
	for i := range len(name) {
		if c := name[i]; ordinary(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// untag returns the name that a tag stands for, and whether there is one.
func untag(t string) (string, bool) {
	if t == "%" {
		return "", true
	}
	b := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		switch {
		case ordinary(t[i]):
			b = append(b, t[i])
		case t[i] == '%' && i+2 < len(t):
			hi, lo := digit(t[i+1]), digit(t[i+2])
			c := hi<<4 | lo
			if hi > 15 || lo > 15 || ordinary(c) {
				return "", false // not what tag would have made
			}
			b = append(b, c)
			i += 2
		default:
			return "", false
		}
	}
	return string(b), len(b) > 0
}

func digit(c byte) byte {
	return byte(strings.IndexByte("0123456789ABCDEF", c)) // 255 for none
}

func ordinary(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.:/@=,~$", c) >= 0
}

// base is what all keys of a channel begin with; it is also the topic that its
// messages are published to.
func (b *Broker) base(name string) string { return b.opts.Prefix + "{" + tag(name) + "}" }

// shared is what keys and topics that belong to no channel begin with.
func (b *Broker) shared() string { return b.opts.Prefix + "{!}" }
