// Package session is the life of one client on one connection, whatever
// carries it: who it is, what it asks, what it subscribes to, and how it is
// given what its channels have.
//
// # Who owns what
//
// Everything about a Session belongs to the event loop of its connection and is
// touched there only. What the sessions of one loop share is its hub: their
// table, and a group for each channel that any of them follows. Other
// goroutines speak to a hub by posting to its loop.
//
// # How messages leave
//
// A group is nudged, at most once until it has looked, when its channel has
// something new. It then reads the channel's ring once into a batch and sweeps
// its members: whoever stands where the batch begins is offered the batch's
// bytes, as many as the socket takes, and moves its cursor. The sweep is a job
// of the loop and takes its turns with reads, timers and other sweeps.
//
// A member is in one of these states:
//
//	live      swept with the others
//	resting   asked for a rate; visited by sweeps, pulled when its pace allows
//	lagging   its socket was full, or it came with a position of its own: pulled
//	          by its session, a run at a time, until it has everything
//	catching  what it lacks is no longer in the ring: read from the store, a
//	          page at a time
//	walking   the same on a state channel: it is given the latest message of each
//	          key that it lacks, or of all keys as a snapshot
//	ahead     the store has told it more than the feed has brought here yet
//	held      what it asked for is on its way, and comes first
//
// So nothing is queued for anybody. A connection that does not read costs the
// rest of one frame, and what it will get is decided when it reads again.
//
// All sessions of a loop that lag are served by one job in small steps, and pages
// of a store that is not in memory are read so many at a time, those that many
// ask for only once. So a crowd that comes back after an outage is served as fast
// as the machine can, and the live traffic of others keeps its turns.
//
// # What may block
//
// Tokens, hooks, calls to the backend and pages of a store that is not in
// memory run on goroutines of their own or stand in line for one, and post their
// result back. Meanwhile
// the session is suspended: it keeps the few messages that were already read,
// reads no more, and goes on in order. Calls are the exception, they overlap.
package session
