// Package delivery gives subscribers what their channels have: the way of a
// message from a channel's ring, or its store, to the socket. It knows cursors,
// groups, loops and sinks; it knows nothing of who a subscriber is, what it may do
// and how it asked.
//
// # Who owns what
//
// A Hub is the delivery of one event loop, and belongs to it with all of its
// groups and subscribers: they are touched on that loop only. Other goroutines
// speak to it by posting.
//
// # How messages leave
//
// A group is the subscriptions of one channel on one loop. It is nudged, at most
// once until it has looked, when its channel has something new. It then reads the
// channel's ring once into a batch and sweeps its members: whoever stands where
// the batch begins is offered the batch's bytes, as many as the socket takes, and
// moves its cursor. The sweep is a job of the loop and takes its turns with reads,
// timers and other sweeps.
//
// Each member has a channel.Reader, which is in one of these phases:
//
//	Live      swept with the others
//	Resting   asked for a rate; visited by sweeps, pulled when its pace allows
//	Lagging   its socket was full, or it came with a position of its own: pulled
//	          for on its own, a run at a time, until it has everything
//	Catching  what it lacks is no longer in the ring: read from the store, a
//	          page at a time
//	Walking   the same on a state channel: it is given the latest message of each
//	          key that it lacks, or of all keys as a snapshot
//	Ahead     the store has told it more than the ring has yet
//	Held      what it asked for is on its way, and comes first
//
// So nothing is queued for anybody. A connection that does not read costs the
// rest of one frame, and what it will get is decided when it reads again.
//
// All subscribers of a loop that lag are served by one job in small steps, and
// pages of a store that is not in memory are read so many at a time, those that
// many ask for only once. So a crowd that comes back after an outage is served as
// fast as the machine can, and the live traffic of others keeps its turns.
//
// # Where to begin reading
//
// group.go and sweep.go are a message's way when all is well, pull.go and
// catchup.go when it is not. opening.go is how a subscription begins.
package delivery
