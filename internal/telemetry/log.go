// Package telemetry is what the server tells about itself.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LogOptions choose how logs look.
type LogOptions struct {
	Level  string // debug, info, warn or error, in any case; default info
	Format string // text or json; default text
}

// NewLogger returns a logger that writes a line for each record to w, which need
// not be safe for concurrent use. Whoever logs what, the values of attributes
// that are named like secrets, the queries of URLs, and everything that looks
// like a token or a private key are left out. That is a net below the rule that
// nobody logs them, not a licence to do it.
func NewLogger(w io.Writer, o LogOptions) (*slog.Logger, error) {
	var level slog.Level
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil || strings.ContainsAny(o.Level, "+-") {
			return nil, fmt.Errorf("log level %q: use debug, info, warn or error", o.Level)
		}
	}
	ho := &slog.HandlerOptions{Level: level, ReplaceAttr: hide}
	w = &redactor{w: w}
	switch o.Format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, ho)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, ho)), nil
	}
	return nil, fmt.Errorf("log format %q: use text or json", o.Format)
}
