// Package document is a text that several write at the same time, offline too: a document
// of Yjs on a log of updates, with snapshots of the whole on a state channel.
//
// There is no back end. The pages merge what everybody writes, and the server keeps it:
// web/provider.js is the part to copy.
package document

import (
	"embed"

	"ringdown/examples/demo/stage"
)

// Config is the real-time API of the documents.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var web embed.FS

// Open makes the app.
func Open(stage.Setting) (stage.App, error) { return stage.Folder("document", web), nil }
