// Package telemetry is what the server tells about itself.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// LogOptions choose how logs look.
type LogOptions struct {
	Level  string // debug, info, warn or error; default info
	Format string // text or json; default text
}

// secret is the attributes whose values are never written, whoever logs them.
var secret = []string{"token", "ticket", "key", "secret", "password", "cookie", "authorization"}

// NewLogger returns a logger that writes to w. Attributes with the name of a
// secret are written without their value.
func NewLogger(w io.Writer, o LogOptions) (*slog.Logger, error) {
	var level slog.Level
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("log level %q: use debug, info, warn or error", o.Level)
		}
	}
	ho := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if slices.Contains(secret, strings.ToLower(a.Key)) {
			a.Value = slog.StringValue("[redacted]")
		}
		return a
	}}
	switch o.Format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, ho)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, ho)), nil
	}
	return nil, fmt.Errorf("log format %q: use text or json", o.Format)
}
