package config

import (
	"time"

	"ringdown/internal/session"
)

// Limits are everything under limits: in the file. Zero fields mean the default
// of the key.
type Limits struct {
	// Session is what this node and one connection may take.
	Session session.Limits
	User    UserLimits
	Address AddressLimits
	Key     KeyLimits
	Channel ChannelLimits
}

// UserLimits bound what one signed-in user may cost on this node, over all
// connections and requests together. 0: no limit of its own.
type UserLimits struct {
	Connections       int
	MessagesPerSecond int
	MessagesBurst     int
	RequestsPerSecond int
	RequestsBurst     int
}

// AddressLimits bound what one address may cost on this node, an IPv6 one by
// its /64. 0: see the key.
type AddressLimits struct {
	Connections         int
	HandshakesPerSecond int
	HandshakesBurst     int
	RequestsPerSecond   int
	RequestsBurst       int
}

// KeyLimits bound what one server key may cost on this node. 0: no limit.
type KeyLimits struct {
	MessagesPerSecond int
	MessagesBurst     int
	RequestsPerSecond int
	RequestsBurst     int
}

// ChannelLimits bound what one channel may carry on this node. 0: no limit of
// its own.
type ChannelLimits struct {
	Subscribers       int
	Members           int
	MessagesPerSecond int
	MessagesBurst     int
}

// The grammar of limits: what is counted stands in the name of the mapping, so
// that limits.user.connections needs no explanation. A refusal names the key.
var limitKeys = &object{"limits", []key{
	{name: "node", shape: aMapping, of: nodeLimitKeys, about: "counted for this server as a whole"},
	{name: "connection", shape: aMapping, of: connectionLimitKeys, about: "counted for each WebSocket, stream and poll alone"},
	{name: "user", shape: aMapping, of: userLimitKeys, about: "counted for each signed-in user, over all connections and requests at this node"},
	{name: "address", shape: aMapping, of: addressLimitKeys, about: "counted for each client address at this node, IPv6 by its /64"},
	{name: "key", shape: aMapping, of: keyLimitKeys, about: "counted for each server key at this node"},
	{name: "channel", shape: aMapping, of: channelLimitKeys, about: "counted for each channel at this node"},
}}

var nodeLimitKeys = &object{"limits.node", []key{
	{name: "connections", shape: aNumber, min: 0, max: 10_000_000, preset: "0", about: "connections that are open; 0 is what the sockets allow"},
	{name: "sockets", shape: aNumber, min: 0, max: 10_000_000, preset: "0", about: "sockets that are open, whatever for; 0 is what the file descriptors allow, and it cannot be more"},
	{name: "http_connections", shape: aNumber, min: 1, max: 10_000_000, preset: "20000", about: "those of them that are no WebSockets and no streams: requests, long-polls, handshakes, and what waits for its next request"},
	{name: "unread_answers", shape: aSize, min: 1 << 20, max: 1 << 40, preset: "256MiB", about: "bytes of answers over HTTP that wait for their clients to take them; over it those are given up whose clients take nothing"},
	{name: "handshakes_per_second", shape: aNumber, min: 1, max: 1_000_000, preset: "2500", about: "connections let in, at even distances; four seconds' worth wait their turn, and others are told when to come back (503)"},
	{name: "channels", shape: aNumber, min: 1, max: 100_000_000, preset: "1000000", about: "channels that are followed or kept"},
	{name: "recoveries", shape: aNumber, min: 1, max: 10_000, preset: "64", about: "pages read at a time, for who comes back, from a store that is not in memory"},
}}

var connectionLimitKeys = &object{"limits.connection", []key{
	{name: "max_message", shape: aSize, min: 1 << 10, max: 16 << 20, preset: "64KiB", about: "one message of a client, decompressed"},
	{name: "max_message_unauthenticated", shape: aSize, min: 1 << 10, max: 64 << 10, preset: "4KiB", about: "the same before its token was accepted"},
	{name: "messages_per_second", shape: aNumber, min: 1, max: 1_000_000, preset: "50", about: "messages of a client, in the long run"},
	{name: "messages_burst", shape: aNumber, min: 1, max: 1_000_000, preset: "100", about: "messages of a client at once"},
	{name: "messages_per_second_unauthenticated", shape: aNumber, min: 1, max: 1_000, preset: "5", about: "messages before its token was accepted"},
	{name: "subscriptions", shape: aNumber, min: 1, max: 100_000, preset: "128", about: "channels that it may follow"},
	{name: "presences", shape: aNumber, min: 1, max: 100_000, preset: "32", about: "channels that it may be present in"},
	{name: "presence_data", shape: aSize, min: 64, max: 64 << 10, preset: "4KiB", about: "what a member may say of itself"},
	{name: "pending_calls", shape: aNumber, min: 1, max: 10_000, preset: "32", about: "calls that the application has not answered"},
	{name: "bad_messages", shape: aNumber, min: 1, max: 1_000, preset: "10", about: "messages that cannot be read before the connection is closed"},
	{name: "auth_timeout", shape: aDuration, min: int64(100 * time.Millisecond), max: int64(time.Minute), preset: "5s", about: "time from the opening to a token"},
	{name: "rule_steps", shape: aNumber, min: 10_000, max: 1_000_000_000, preset: "400000", about: "work that deciding by rules may take for one message, whatever it names; 20,000 are about a millisecond"},
	{name: "schema_steps", shape: aNumber, min: 1_000, max: 1_000_000_000, preset: "400000", about: "work that judging one message by its schema may take; 20,000 are about a millisecond"},
}}

var userLimitKeys = &object{"limits.user", []key{
	{name: "connections", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "connections that are open; 0 is no limit"},
	{name: "messages_per_second", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "messages published, by whatever door, in the long run; 0 is no limit"},
	{name: "messages_burst", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "messages published at once; 0 is two seconds' worth"},
	{name: "requests_per_second", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "requests over HTTP with the user's token, in the long run; 0 is no limit"},
	{name: "requests_burst", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "requests at once; 0 is two seconds' worth"},
}}

var addressLimitKeys = &object{"limits.address", []key{
	{name: "connections", shape: aNumber, min: 0, max: 1_000_000, preset: "0", about: "sockets that are open, and requests that a proxy makes for it; 0 is half of the sockets there may be, and no limit for loopback and private networks"},
	{name: "handshakes_per_second", shape: aNumber, min: 0, max: 1_000_000, preset: "0", about: "WebSockets, streams and first polls let in, in the long run; 0 is 250, and no limit for loopback and private networks"},
	{name: "handshakes_burst", shape: aNumber, min: 0, max: 1_000_000, preset: "0", about: "the same at once; 0 is two seconds' worth"},
	{name: "requests_per_second", shape: aNumber, min: 0, max: 1_000_000, preset: "0", about: "requests over HTTP without a server key, WebSockets apart, in the long run; 0 is no limit"},
	{name: "requests_burst", shape: aNumber, min: 0, max: 1_000_000, preset: "0", about: "requests at once; 0 is two seconds' worth"},
}}

var keyLimitKeys = &object{"limits.key", []key{
	{name: "messages_per_second", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "messages published, in the long run; 0 is no limit"},
	{name: "messages_burst", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "messages published at once; 0 is two seconds' worth"},
	{name: "requests_per_second", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "requests over HTTP, in the long run; 0 is no limit"},
	{name: "requests_burst", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "requests at once; 0 is two seconds' worth"},
}}

var channelLimitKeys = &object{"limits.channel", []key{
	{name: "subscribers", shape: aNumber, min: 0, max: 10_000_000, preset: "0", later: true, about: "connections that follow it; 0 is no limit"},
	{name: "members", shape: aNumber, min: 0, max: 10_000_000, preset: "0", later: true, about: "members that are present in it; 0 is no limit"},
	{name: "messages_per_second", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "messages of clients published to it, in the long run; 0 is no limit"},
	{name: "messages_burst", shape: aNumber, min: 0, max: 1_000_000, preset: "0", later: true, about: "messages published to it at once; 0 is two seconds' worth"},
}}

// formerLimits are names under which limits once stood, or are looked for.
var formerLimits = map[string]string{
	"channels_per_node":          "limits.node.channels",
	"unauthenticated_per_second": "limits.connection.messages_per_second_unauthenticated",
	"pending_requests":           "limits.connection.pending_calls",
}

// limitNamed returns where a limit stands that somebody wrote right under
// limits:, "" if there is none of that name.
func limitNamed(name string) string {
	if now, ok := formerLimits[name]; ok {
		return now
	}
	// A connection comes first: it is what most names mean. Those of the node
	// have names of their own, but for connections.
	for _, o := range []*object{nodeLimitKeys, connectionLimitKeys, userLimitKeys, addressLimitKeys, keyLimitKeys, channelLimitKeys} {
		if o.key(name) != nil {
			return o.name + "." + name
		}
	}
	return ""
}

func (f fields) limits() (l Limits) {
	if n, ok := f.mapping("node"); ok {
		l.Session.Connections = int(n.number("connections"))
		l.Session.HandshakesPerSecond = int(n.number("handshakes_per_second"))
		l.Session.ChannelsPerNode = int(n.number("channels"))
		l.Session.Recoveries = int(n.number("recoveries"))
		f.conf.Front.Sockets, f.conf.Front.HTTP = int(n.number("sockets")), int(n.number("http_connections"))
		f.conf.Front.Unread = n.size("unread_answers")
	}
	if c, ok := f.mapping("connection"); ok {
		c.connectionLimits(&l.Session)
	}
	if u, ok := f.mapping("user"); ok {
		l.User = UserLimits{
			Connections:       int(u.number("connections")),
			MessagesPerSecond: int(u.number("messages_per_second")), MessagesBurst: int(u.number("messages_burst")),
			RequestsPerSecond: int(u.number("requests_per_second")), RequestsBurst: int(u.number("requests_burst")),
		}
	}
	if a, ok := f.mapping("address"); ok {
		l.Address = AddressLimits{
			Connections:         int(a.number("connections")),
			HandshakesPerSecond: int(a.number("handshakes_per_second")), HandshakesBurst: int(a.number("handshakes_burst")),
			RequestsPerSecond: int(a.number("requests_per_second")), RequestsBurst: int(a.number("requests_burst")),
		}
	}
	if k, ok := f.mapping("key"); ok {
		l.Key = KeyLimits{
			MessagesPerSecond: int(k.number("messages_per_second")), MessagesBurst: int(k.number("messages_burst")),
			RequestsPerSecond: int(k.number("requests_per_second")), RequestsBurst: int(k.number("requests_burst")),
		}
	}
	if c, ok := f.mapping("channel"); ok {
		l.Channel = ChannelLimits{
			Subscribers: int(c.number("subscribers")), Members: int(c.number("members")),
			MessagesPerSecond: int(c.number("messages_per_second")), MessagesBurst: int(c.number("messages_burst")),
		}
	}
	return l
}

func (f fields) connectionLimits(l *session.Limits) {
	l.MaxMessage = int(f.size("max_message"))
	l.MaxMessageUnauthenticated = int(f.size("max_message_unauthenticated"))
	l.MessagesPerSecond = int(f.number("messages_per_second"))
	l.MessagesBurst = int(f.number("messages_burst"))
	l.UnauthenticatedPerSecond = int(f.number("messages_per_second_unauthenticated"))
	l.Subscriptions = int(f.number("subscriptions"))
	l.Presences = int(f.number("presences"))
	l.PresenceData = int(f.size("presence_data"))
	l.PendingRequests = int(f.number("pending_calls"))
	l.BadMessages = int(f.number("bad_messages"))
	l.AuthTimeout = f.duration("auth_timeout")
	l.RuleSteps = int(f.number("rule_steps"))
	l.SchemaSteps = int(f.number("schema_steps"))
	full := l.WithDefaults()
	if n := f.node.child("max_message_unauthenticated"); n != nil && l.MaxMessageUnauthenticated > full.MaxMessage {
		f.fail(n.place, "", "max_message_unauthenticated is more than max_message, which is %s", size(int64(full.MaxMessage)))
	}
	if n := f.node.child("messages_burst"); n != nil && full.MessagesBurst < full.MessagesPerSecond {
		f.warn(n.place, "", "messages_burst is less than messages_per_second (%d), so that a client that sends a second's messages at once is slowed down", full.MessagesPerSecond)
	}
}
