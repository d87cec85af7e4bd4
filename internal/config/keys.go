package config

import "time"

// The grammar of the file as data. Reading takes ranges from here, unknown keys
// are compared with it, the schema for editors is made of it, and a test holds
// docs/configuration.md against it.

// shape is what a key takes.
type shape uint8

const (
	aText shape = iota
	aSecret
	aBool
	aNumber
	aSize
	aDuration
	aRule
	aSchema
	aMapping
	aListOfTexts
	aListOfSecrets
	aListOfMappings
	aMappingOrList // one mapping, or a list of them
	aMappingByName // keys are names chosen by the user, values are mappings
)

// key is one key of an object.
type key struct {
	name     string
	shape    shape
	of       *object // what mappings in it are made of
	min, max int64   // of numbers and sizes (bytes), and of durations (nanoseconds)
	words    []string
	preset   string // the default, as it would be written; "" if there is none
	later    bool   // it has its place, and no effect in this version
	about    string
}

// object is a mapping with known keys.
type object struct {
	name string // with its article, for messages
	keys []key
}

func (o *object) key(name string) *key {
	for i := range o.keys {
		if o.keys[i].name == name {
			return &o.keys[i]
		}
	}
	return nil
}

const (
	year = int64(365 * 24 * time.Hour)
	gib  = int64(1) << 30
)

var fileKeys = &object{"the configuration", []key{
	{name: "listen", shape: aListOfTexts, about: "addresses to listen on: host:port, where an empty host is every address of the machine, or unix:PATH"},
	{name: "trusted_proxies", shape: aListOfTexts, about: "proxies that may say for whom they speak, in X-Forwarded-For or Forwarded: networks such as 10.0.0.0/8, addresses, or unix for whoever comes over a Unix socket"},
	{name: "origins", shape: aListOfTexts, about: "web pages that may connect: scheme://host[:port], self, loopback (pages that this machine serves), or * for all"},
	{name: "paths", shape: aListOfTexts, about: "further paths of the WebSocket, besides /v1/ws"},
	{name: "auth", shape: aMapping, of: authKeys, about: "who may connect and call the REST API"},
	{name: "broker", shape: aMapping, of: brokerKeys, about: "what several nodes share; without it there is one node"},
	{name: "store", shape: aMapping, of: storeKeys, about: "where messages are kept; without it, in ringdown-data beside the file if any channel keeps some"},
	{name: "channels", shape: aListOfMappings, of: channelKeys, about: "the channels, the first that matches a name holds"},
	{name: "calls", shape: aMappingByName, of: callKeys, about: "the calls that clients may make to the application; without it, those that it answers"},
	{name: "limits", shape: aMapping, of: limitKeys, about: "what a connection, a user, an address, a key, a channel and this node may cost"},
	{name: "http", shape: aMapping, of: httpKeys, about: "requests"},
	{name: "heartbeat", shape: aMapping, of: heartbeatKeys, about: "how dead connections are found"},
	{name: "presence", shape: aMapping, of: presenceKeys, about: "how it is told who is there"},
	{name: "sse", shape: aMapping, of: sseKeys, about: "Server-Sent Events"},
	{name: "poll", shape: aMapping, of: pollKeys, about: "long-poll"},
	{name: "compression", shape: aBool, preset: "false", about: "offer permessage-deflate to clients that ask for it"},
	{name: "documents", shape: aText, words: []string{DocumentsPublic, DocumentsKey}, preset: DocumentsKey, about: "who may read /v1/openapi.json, /v1/asyncapi.json and /metrics: everybody, or callers with a server key; in dev mode everybody by default"},
	{name: "metrics", shape: aMapping, of: metricsKeys, about: "where the metrics are"},
	{name: "engine", shape: aText, words: []string{"epoll", "std"}, about: "how connections are driven; by default the best there is"},
}}

var authKeys = &object{"auth", []key{
	{name: "jwt", shape: aMappingOrList, of: jwtKeys, about: "how the tokens of users are verified"},
	{name: "keys", shape: aListOfSecrets, about: "keys for your own programs to use the REST API with, 16 bytes or more each"},
	{name: "anonymous", shape: aBool, preset: "false", about: "let clients without a token in"},
}}

var brokerKeys = &object{"broker", []key{
	{name: "redis", shape: aMapping, of: redisKeys, about: "Redis 6.2 or newer, or Valkey; see clustering.md"},
}}

var redisKeys = &object{"redis", []key{
	{name: "addresses", shape: aListOfTexts, about: "host:port of the server; or of some servers, of which one is the primary; or of the Sentinels; or of some of a cluster"},
	{name: "sentinel", shape: aMapping, of: sentinelKeys, about: "the addresses are of Sentinels, who know where the primary is"},
	{name: "cluster", shape: aBool, preset: "false", about: "the addresses are of a Redis Cluster"},
	{name: "username", shape: aText, about: "user of Redis, where it has users"},
	{name: "password", shape: aSecret, about: "password of Redis"},
	{name: "tls", shape: aBool, preset: "false", about: "encrypt the connections"},
	{name: "ca", shape: aSecret, about: "certificates to trust in place of the system's, PEM"},
	{name: "prefix", shape: aText, preset: "rd:", about: "what all keys begin with; nodes with the same one are one server"},
	{name: "timeout", shape: aDuration, min: int64(100 * time.Millisecond), max: int64(time.Minute), preset: "3s", about: "time for Redis to answer, and for a publish in all"},
}}

var sentinelKeys = &object{"sentinel", []key{
	{name: "master", shape: aText, about: "the name under which the Sentinels know the primary"},
	{name: "username", shape: aText, about: "user of the Sentinels, where they have users"},
	{name: "password", shape: aSecret, about: "password of the Sentinels"},
}}

var storeKeys = &object{"store", []key{
	{name: "dir", shape: aText, preset: "ringdown-data", about: "directory of the store, of this server alone; it is made if need be"},
	{name: "memory", shape: aBool, preset: "false", about: "keep messages in memory instead; they are gone when the server ends"},
	{name: "fsync", shape: aText, words: []string{"always", "interval", "never"}, preset: "always", about: "when messages are on the disk: before they are acknowledged, every so often, or when the system likes"},
	{name: "interval", shape: aDuration, min: int64(time.Millisecond), max: int64(time.Minute), preset: "100ms", about: "time between two syncs, with fsync: interval"},
}}

var jwtKeys = &object{"a jwt entry", []key{
	{name: "secret", shape: aSecret, about: "the secret shared with who signs the tokens (HS256), 32 bytes or more"},
	{name: "public_key", shape: aSecret, about: "the public key of who signs the tokens, PEM"},
	{name: "jwks", shape: aSecret, about: "where the public keys are published, an https URL"},
	{name: "algorithm", shape: aText, words: []string{"HS256", "RS256", "ES256", "EdDSA"}, about: "the one algorithm that is accepted"},
	{name: "audience", shape: aText, about: "what aud must be or contain"},
	{name: "issuer", shape: aText, about: "what iss must be"},
	{name: "user_claim", shape: aText, preset: "sub", about: "the claim that names the user"},
	{name: "leeway", shape: aDuration, min: int64(time.Second), max: int64(30 * time.Second), preset: "30s", about: "how far clocks may differ"},
	{name: "key_id", shape: aText, about: "what kid must be"},
}}

var httpKeys = &object{"http", []key{
	{name: "idle", shape: aDuration, min: int64(time.Second), max: int64(time.Hour), preset: "2m", about: "how long a connection waits for its next request; longer than the proxy in front keeps one, or requests of the proxy fail now and then"},
}}

var metricsKeys = &object{"metrics", []key{
	{name: "listen", shape: aText, about: "an address of their own for the metrics, host:port or unix:PATH: /metrics is there for everybody who reaches it, and nowhere else"},
}}

var heartbeatKeys = &object{"heartbeat", []key{
	{name: "ping", shape: aDuration, min: int64(time.Second), max: int64(10 * time.Minute), preset: "25s", about: "a ping is sent after so long without hearing or sending anything"},
	{name: "timeout", shape: aDuration, min: int64(time.Second), max: int64(5 * time.Minute), preset: "10s", about: "time to be heard of after the ping; then the connection is closed with 4201"},
}}

var presenceKeys = &object{"presence", []key{
	{name: "grace", shape: aDuration, min: 0, max: int64(10 * time.Minute), preset: "15s", about: "how long a user who lost the connection may take to come back before others are told; 0s is not at all"},
}}

var sseKeys = &object{"sse", []key{
	{name: "heartbeat", shape: aDuration, min: int64(time.Second), max: int64(10 * time.Minute), preset: "8s", about: "a comment is sent after so long without sending anything"},
	{name: "paths", shape: aListOfTexts, about: "further paths, besides /v1/sse"},
}}

var pollKeys = &object{"poll", []key{
	{name: "paths", shape: aListOfTexts, about: "further paths, besides /v1/poll"},
}}

var channelKeys = &object{"a channel", []key{
	{name: "name", shape: aText, about: "the name, or a pattern such as chat:{room}; * matches every name"},
	{name: "about", shape: aText, about: "one sentence for people and documents"},
	{name: "history", shape: aMapping, of: historyKeys, about: "keep messages, so that clients can resume and page back"},
	{name: "state", shape: aMapping, of: stateKeys, about: "keep the latest message of each key, and give it to who subscribes"},
	{name: "presence", shape: aBool, preset: "false", about: "clients can enter, and see who is there"},
	{name: "show_from", shape: aBool, preset: "false", about: "messages of clients carry the user in from"},
	{name: "events", shape: aMappingByName, of: eventKeys, about: "the events there are; without it every event is accepted"},
	{name: "typing", shape: aBool, preset: "false", about: "clients say that they type, by the ephemeral event typing with data {active: true}"},
	{name: "allow", shape: aMapping, of: allowKeys, about: "who may do what"},
	{name: "buffer", shape: aMapping, of: bufferKeys, about: "what is held in memory for slow readers"},
	{name: "resume", shape: aDuration, min: int64(time.Second), max: 10 * year, preset: "2m", about: "how far back who may subscribe, and not read history, is given what a lost connection missed"},
}}

var historyKeys = &object{"history", []key{
	{name: "messages", shape: aNumber, min: 1, max: 10_000_000, about: "keep the last so many"},
	{name: "bytes", shape: aSize, min: 1 << 10, max: 1024 * gib, about: "keep the last so many bytes"},
	{name: "for", shape: aDuration, min: int64(time.Second), max: 10 * year, about: "keep none that is older"},
}}

var stateKeys = &object{"state", []key{
	{name: "for", shape: aDuration, min: int64(time.Second), max: 10 * year, about: "drop a key that was not written for so long; without it keys stay"},
}}

var eventKeys = &object{"an event", []key{
	{name: "about", shape: aText, about: "one sentence for people and documents"},
	{name: "schema", shape: aSchema, about: "JSON Schema of the data: the schema itself, or a path"},
	{name: "ephemeral", shape: aBool, preset: "false", about: "never kept, and the first to be left out for a slow reader"},
}}

var callKeys = &object{"a call", []key{
	{name: "about", shape: aText, about: "one sentence for people and documents"},
	{name: "schema", shape: aSchema, about: "JSON Schema of the data: the schema itself, or a path"},
	{name: "result", shape: aSchema, about: "JSON Schema of the answer: the schema itself, or a path"},
}}

var allowKeys = &object{"allow", []key{
	{name: "subscribe", shape: aRule, preset: "none", about: "who may receive messages"},
	{name: "publish", shape: aRule, preset: "none", about: "who may send messages"},
	{name: "presence", shape: aRule, preset: "none", about: "who may enter, and see who is there"},
	{name: "history", shape: aRule, about: "who may read older messages; by default who may subscribe"},
}}

var bufferKeys = &object{"buffer", []key{
	{name: "messages", shape: aNumber, min: 16, max: 1 << 20, preset: "1024", about: "messages"},
	{name: "bytes", shape: aSize, min: 4 << 10, max: gib, preset: "1MiB", about: "bytes"},
}}

// absent are keys that people may expect here from other versions or servers,
// and what to say of them.
var absent = map[string]string{
	"backend": "this version has no calls over HTTP: handle calls and hooks in Go, with HandleCall, OnConnect and the like; remove the key",
	"dev":     "dev mode is not a setting of the file: start the server with --dev",
	"tls":     "this version leaves TLS to a proxy in front of it; remove the key",
}

// home finds the object that has a key of that name, for those who put it at
// the wrong level.
func home(name string) *object {
	for _, o := range []*object{fileKeys, authKeys, brokerKeys, redisKeys, storeKeys, jwtKeys, limitKeys, nodeLimitKeys, connectionLimitKeys, httpKeys, heartbeatKeys, presenceKeys, sseKeys, channelKeys, allowKeys, eventKeys, callKeys} {
		if o.key(name) != nil {
			return o
		}
	}
	return nil
}
