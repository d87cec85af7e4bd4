// Package store keeps the logs of all channels in one directory, so that they
// outlive the process: messages, the latest message of each key of state
// channels, idempotency keys, and the epoch that they all belong to.
//
// # One writer
//
// Everything that changes a log goes through one queue to one goroutine, the
// committer. It takes what has gathered, gives out offsets, makes one batch of it
// all, and writes that as one record of the journal with one fsync. Then it
// applies the batch to the database and tells everybody. So publishers share
// fsyncs without a timer: while the disk works, the next group gathers. And
// there is one order: what Appended and Position are told happens in the order
// of the log, on the committer's goroutine.
//
// # What is on the disk
//
//	STORE          epoch, fsync mode, and whether the last end was a clean one
//	MARK           how far the journal was acknowledged
//	LOCK           held while the store is open
//	journal/       the newest batches: what the database may not have yet
//	db/            Pebble
//	RESTORED       only in a backup, or put there by hand: begin a new epoch
//
// The journal stands in place of Pebble's own log because of what must happen
// when things go wrong. Pebble ends the process when its log cannot be written,
// and takes damage at the end of its log for a crash; here a full disk refuses
// publications until there is room again, and nothing reaches the database, and
// so a reader, before it is durable.
//
// Each batch has a number (LSN), without holes. The database holds the number of
// the batch that it was written by, in the batch itself, so it is always a prefix
// of what was written. At the opening the journal is read from there on. A record
// that cannot be read is the torn end of an unacknowledged write only if nothing
// says otherwise; a whole record behind it, a later file, or the mark prove that
// acknowledged data is missing, and then Open fails and names the file.
//
// # What is trusted
//
// Nothing on the disk: Pebble's blocks, every value in them, and every record of
// the journal have checksums. Fsync is trusted, but only until it fails once:
// what the kernel dropped then cannot be known, so that nothing is written until
// the store is opened again.
package store
