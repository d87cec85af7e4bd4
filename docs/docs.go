// Package docs has the pages that explain the examples, for the demo to show.
package docs

import "embed"

// Apps has a page for each of the demo's apps, apps/NAME.md.
//
//go:embed apps
var Apps embed.FS
