// Package sse serves sessions as Server-Sent Events (HTML §9.2), for networks
// that let no WebSocket through and for clients that want no more than curl or
// an EventSource.
//
// Every message of the session is one unnamed event: its data is the text that a
// WebSocket would be sent, on one line, and its id a cursor over all channels of
// the stream. Both leave in one piece, so that whoever is cut off at any byte and
// comes back with the id of the last whole event misses and repeats nothing.
// What the client says comes by POST, see session.Server.Deliver.
//
// A stream over HTTP/1.1 is taken from net/http and driven by the event loops,
// like a WebSocket: while idle it has no goroutine and no buffer. It is ended by
// closing the connection, so that what is sent needs no chunks. Where the
// connection cannot be taken, as with HTTP/2, goroutines drive the response.
//
// What browsers do decides the answers. An EventSource comes back by itself when
// a stream ends or the network fails, and gives up for good at any status but
// 200. So a client that is to give up (bad token, wrong origin) gets a status,
// and an EventSource that is to come back (too many connections, a server that
// goes down) gets a stream which ends at once, with the time to wait.
package sse
