// Package load puts WebSocket load on a server of this machine and measures what
// it costs that server: CPU per delivery, latency, memory per connection, the
// price of an upgrade. `ringdown bench` and the comparison with rival servers
// under bench/ are both built on it.
//
//	Run         one Scenario against one Target, and its Result
//	crowd       the client connections and what each of them is waiting for
//	wire        moves their bytes: epoll on Linux, a goroutine each elsewhere
//	dialect     how a server wants to be spoken to
//	stamp       the clock and the sequence number inside every payload
//	Histogram   latencies
//	Process     what the server has used, as the kernel counts it
//
// The client must not be what is measured. So it is one goroutine: scenario code
// calls crowd.turn in a loop, a turn reads what has arrived and accounts for it,
// and no delivery allocates, takes a lock or decodes JSON. Everything in the
// package but Process belongs to the goroutine that called Run.
//
// Every publication carries the moment it was due, not the moment it was sent,
// so that a stalled client or server cannot hide the wait (coordinated
// omission). It also carries a sequence number per channel: each subscriber
// checks that it gets an unbroken run, and a Result says how many were missing.
//
// Load goes to loopback addresses only: what is measured is read from /proc, and
// a load generator should not be one typing error away from someone else's host.
package load
