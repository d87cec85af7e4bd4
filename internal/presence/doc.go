// Package presence is who is in a channel, as seen by the node that put them there:
// which members are here, which have lost their connection and may come back, and
// which changes watchers have not been told yet.
//
// # What a watcher knows
//
// A watcher keeps a table of members by their IDs. Enter and Update both mean
// "this member is in, and this is what it says of itself", Leave means "this member
// is not in". Each can be told twice without harm. So a watcher may read the list of
// members at any moment, beside the stream of changes, and is right in the end.
//
// That is why a Leave is told even when the Enter before it was not: a watcher may
// have read the list in between.
//
// # Steady views
//
// A member is one connection, but people look at users. A user who loses a
// connection and comes back is another member. So that the user does not disappear
// in between, watchers are told of the new member before they are told that the old
// one has left, here and in every batch of changes.
//
// Everything is pure: no goroutine, no lock, and time is passed in.
package presence
