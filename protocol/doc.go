// Package protocol is the vocabulary of Ringdown: the message, its wire forms,
// the names, limits, error codes and close codes that servers and clients agree
// on. docs/protocol.md says what they mean on the wire, and spec/ has the cases
// that every implementation passes, this one included.
//
//	Message            what is said, in every transport and in both directions
//	DecodeX, AppendX   its wire forms: JSON text, a JSON head with bytes, Protobuf
//	ValidX             which names and values are allowed
//	Error, Code        what went wrong, in a form that may be told to a client
//	CloseCode          why a connection ended, and whether to come back
//
// The package imports nothing else of Ringdown. Its functions keep no state and
// are safe for concurrent use.
package protocol
