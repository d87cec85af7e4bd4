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
// # Who owns what
//
// A Conn belongs to its event loop, as all of an App's calls do. What the
// connections of one loop share, memory to work in and counters, is its lane.
// The Handler itself may be used from anywhere.
//
// A connection is open until a close frame is sent or received; then it is
// closing: it says nothing more and only waits, a moment at most, for the peer's
// close frame or its end. Our side of the stream stays open meanwhile, since some
// clients take its end for the end of everything, and the connection ends at once
// when the peer has answered, since others wait for us to end it. When the
// reactor says Closed it is over, the app is told, and everything it is still
// asked for does nothing.
//
// # What is trusted
//
// Nothing that a client sends, of course; and an App only as far as a panic of
// its costs the connection it happened in, with close code 1011.
//
// # The seam
//
// App is the seam below the session: what a connection is for. The session is
// one App; tests and the conformance suite put an echo in its place, so that the
// code they measure is this.
package websocket
