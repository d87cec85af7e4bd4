// Package stage is what the example programs stand on, so that each of them
// can be about its own subject: who the caller is, how a refusal looks on the
// wire, how a page with its scripts is served, and how all of it is run as one
// HTTP server that stops in order.
//
// Nothing in here is part of Ringdown. An application that already has logins,
// sessions and a front end brings its own; the only thing it shares with the
// server is the key that signs the tokens.
package stage
