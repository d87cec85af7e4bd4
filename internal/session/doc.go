// Package session is the life of one client on one connection, whatever carries
// it: who it is, what it asks and may do, and what it is told. What its channels
// have it is given by internal/delivery.
//
// # Who owns what
//
// Everything about a Session belongs to the event loop of its connection and is
// touched there only. What the sessions of one loop share is its hub: their
// table, and memory that one message after the other uses. Other goroutines speak
// to a hub by posting to its loop.
//
// # What may block
//
// Tokens, hooks, calls to the application and pages of a store that is not in
// memory run on goroutines of their own or stand in line for one, and post their
// result back. Meanwhile the session is suspended: it keeps the few messages that
// were already read, reads no more, and goes on in order. Calls are the exception,
// they overlap.
package session
