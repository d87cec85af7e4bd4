// Package channel holds the hard truths of Ringdown as pure code: what a
// channel is called and who may use it (declarations, patterns, rules), what
// one published message looks like once accepted (Entry), and how subscribers
// move along the log (Ring, Cursor, Batch).
//
// # The log and its cursors
//
// A channel is a log. The newest part of it stands in a Ring, numbered by a
// sequence that belongs to this node alone; the offset that clients see is the
// store's and stands inside each Entry. A subscriber owns nothing but a Cursor:
// the sequence it has been given last, and a mark that says what that means to
// the client (the offset, or on channels that keep nothing the count of
// messages so far). Delivering is reading the ring after the cursor into a
// Batch, writing the batch, and moving the cursor to its end. A cursor that the
// ring has overtaken learns from its mark exactly what it lacks.
//
// Nothing here has a goroutine, takes a lock or reads a clock: the caller owns
// the locking, and time is passed in.
package channel
