// Package reactor drives connections by event loops. It knows bytes only: what
// they mean is up to a Handler. docs/engine.md tells the same story at length.
//
// An Engine has a few Loops, about one for each processor. A loop is one
// goroutine, and it owns everything of its connections without locks: sockets,
// handlers, timers, jobs, buffers. Other goroutines speak to it through its
// mailbox only (Loop.Post, Engine.Add). A callback must not block: it would hold
// up all connections of the loop.
//
// # Two ways to drive
//
// On Linux a loop polls TCP sockets as bare descriptors (poll_linux.go). Anything
// else, TLS for one, and everything elsewhere, is driven by goroutines on behalf
// of the loop (peer.go, writer.go): one that reads, and while there is something
// to write, one that writes. Both kinds live side by side on a loop, and a
// handler cannot tell them apart.
//
// # The life of a connection
//
//	Add ── open ──▶ open ⇄ blocked            Data, Drained
//	                 │        │
//	                 ├────────┴─ CloseAfterFlush ─▶ ending   (what comes in is thrown away;
//	                 │                               │         after Linger it is heard)
//	                 │                               │
//	                 └── Close, error, panic ────────┴─▶ closed ── Closed ─▶ the slot is free
//
// A connection is blocked while bytes wait because the peer does not read. Then
// it is not read from either, so that a peer which asks and does not read cannot
// make us hold answers. How much may wait is the caller's to bound, by looking at
// Blocked before it sends more.
//
// Closed is called at the end of the callback in which the connection was closed,
// once, and it is the last thing that the connection says. Its slot is then used
// again: pointers to it must be dropped. Events of the kernel carry the slot's
// generation, so that one which was meant for the forerunner is ignored.
//
// # What is trusted
//
// Handlers, tasks and jobs may panic, which costs them and, where it is theirs,
// the connection, never the loop. They may keep nothing of p in Data, and nothing
// of Loop.Buffer. Peers are trusted with nothing.
package reactor
