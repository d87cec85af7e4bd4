package protocol

// Version is the version of the protocol that this package speaks, as the
// welcome message names it.
const Version = 1

// WebSocket subprotocols. A client that offers none gets SubprotocolJSON.
const (
	SubprotocolJSON     = "ringdown.v1.json"
	SubprotocolProtobuf = "ringdown.v1.protobuf"
)

// Limits of the parts of a message, in bytes where nothing else is said. They
// are part of the protocol; how big a whole message may be is the server's
// configuration.
const (
	MaxType       = 64
	MaxChannel    = 200
	MaxKey        = 200
	MaxDedupe     = 64
	MaxTrace      = 128 // of a traceparent; that of version 00 has 55
	MaxUser       = 200
	MaxConnection = 64 // of the name of a connection
	MaxID         = 64 // of the JSON token, quotes and escapes included
	MaxEpoch      = 64
	MaxToken      = 8192
	MaxDepth      = 64        // arrays and objects inside one another in a value
	MaxNumber     = 128       // of a number, written out
	MaxExponent   = 999       // of a number, either sign
	MaxOffset     = 1<<53 - 1 // the largest whole number that is exact in every JSON library; times have the same limit
	MaxBatch      = 1000      // channels in one subscribe
)

// The control verbs: what Message.Type is when it is not an application's event.
const (
	TypeAuth        = "auth"
	TypeSubscribe   = "subscribe"
	TypeUnsubscribe = "unsubscribe"
	TypePresence    = "presence"
	TypeHistory     = "history"
	TypePing        = "ping"

	TypeWelcome      = "welcome"
	TypeSubscribed   = "subscribed"
	TypeUnsubscribed = "unsubscribed"
	TypeAck          = "ack"
	TypeError        = "error"
	TypePong         = "pong"
	TypeState        = "state"
	TypeGap          = "gap"
	TypeReconnect    = "reconnect"
)

// TypeSkip stands in the place of a publication that its receiver was excluded
// from: it has the offset and prev of it and nothing else, so that the run of
// offsets has no hole. Clients hand it to nobody.
const TypeSkip = "_skip"

// Reserved reports whether typ is no name for an event: a control verb, or a name
// that begins with _, which are kept for verbs to come.
func Reserved(typ string) bool { return Verb(typ) || len(typ) > 0 && typ[0] == '_' }

// Verb reports whether typ is a control verb.
func Verb(typ string) bool {
	switch typ {
	case TypeAuth, TypeSubscribe, TypeUnsubscribe, TypePresence, TypeHistory, TypePing,
		TypeWelcome, TypeSubscribed, TypeUnsubscribed, TypeAck, TypeError, TypePong, TypeState, TypeGap, TypeReconnect:
		return true
	}
	return false
}
