// Package transports holds WebSocket, Server-Sent Events and long-poll to one
// list of scenarios, over the real server: whatever carries it, a client is
// given the same history. Its files are tests.
package transports
