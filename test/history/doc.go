// Package history judges what clients saw. A test records events while clients
// publish, follow, lose their connections and come back, and while things are
// broken on purpose; afterwards Check holds the record against the promise of
// the protocol (docs/protocol.md, "The promise"), invariant by invariant.
//
// The checker knows nothing of the server: it believes what clients recorded
// and what the Policy says that the store promises. It needs no network, and a
// history written with Write is judged again, the same way, by
//
//	go run ./test/history/replay FILE
//
// What a history must contain for its judgement to mean something is in Policy:
// a run whose faults met no traffic has not tested anything and fails.
package history
