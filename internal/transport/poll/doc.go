// Package poll serves sessions by long-poll: a request waits for messages, is
// answered with them and a cursor, and the next one asks from there. It is for
// networks that let nothing else through, and for programs that want no more
// than an HTTP client.
//
// Nothing is kept between two requests. The cursor holds the positions, so any
// node may answer the next one; an answer that was lost is asked for again with
// the same cursor, and requests may overlap. Each request is a session of its
// own, on an event loop; it costs no goroutine beside that of net/http.
//
// Channels that keep no messages have no positions: of them a client gets what is
// published while one of its requests waits.
//
// A POST is different in one thing: what it begins is a session that outlives the
// answer, for a lease, so that a client can be a member of a channel's presence
// and speak, and is given what was published between two of its requests on
// channels that keep nothing. See parked.go.
package poll
