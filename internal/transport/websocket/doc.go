// Package websocket carries sessions over WebSocket (RFC 6455) with
// permessage-deflate (RFC 7692).
//
// net/http answers the handshake, so that everything else on the port is its
// own; then the socket goes to an event loop and this package reads frames from
// the bytes it is given. A frame that arrives whole is unmasked and handled
// where it lies. Only a message that arrives in parts gets memory, a pooled side
// record that grows by what has come and never by what was announced. An idle
// connection owns none.
//
// Limits come before memory: a declared length is checked against the limit
// when its header is read, decompressing stops at the limit, fragments are
// counted, an unfinished message has a deadline, and control frames a rate.
//
// App is the seam below the session: what a connection is for. The session is
// one App; tests and the conformance suite put an echo in its place, so that the
// code they measure is this.
package websocket
