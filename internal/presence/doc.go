// Package presence is who is in a channel, as the node sees it that put them in:
// who is here, who has lost the connection and may come back, and what is still
// to be told to those who watch.
//
// # What a watcher knows
//
// A watcher keeps a table of members by their IDs. Enter and Update both mean
// "this one is in, and this is what it says of itself", Leave means "this one is
// not in". Each can be said twice without harm. So a watcher may read the list at
// any moment, beside the stream of changes, and is right in the end.
//
// That is why a Leave is told even when the Enter before it was not: somebody
// may have read the list in between.
//
// # Steady views
//
// A member is one connection. A user who loses one and comes back is another
// member, and what people look at is users. So the new one is told before the old
// one is told to have left, here and in every batch of changes.
//
// Everything is pure: no goroutine, no lock, and time is passed in.
package presence
