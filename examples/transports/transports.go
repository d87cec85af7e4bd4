// Package transports is an example without an app: what it costs to follow a channel by
// polls, by streams and by WebSocket, as it was measured.
package transports

import (
	"embed"

	"ringdown/examples/demo/stage"
)

// web has the page, and run.json: what `ringdown bench transports --json` has printed.
//
//go:embed web
var web embed.FS

// Open makes the page. It follows no channel of its own, so it has no configuration.
func Open(stage.Setting) (stage.App, error) { return stage.Folder("transports", web), nil }
