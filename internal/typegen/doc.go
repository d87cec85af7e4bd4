// Package typegen writes the declared API as types of TypeScript, Go and Python, for the
// clients of those languages: what a name, an event, a payload or a call may be is then
// the compiler's to say. model.go reads the JSON Schemas, and there is a file for each
// language.
package typegen
