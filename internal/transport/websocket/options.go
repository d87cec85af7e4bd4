package websocket

import (
	"log/slog"
	"time"

	"ringdown/internal/auth"
)

// Options of the transport. Zero fields mean the defaults.
type Options struct {
	Paths            []string      // aliases beside /v1/ws; whoever routes uses them
	PingInterval     time.Duration // of silence on either side before a ping, which may come up to a fifth earlier. Default 25 s
	PongTimeout      time.Duration // for anything to come back. Default 10 s
	Compression      bool          // accept permessage-deflate
	DeflateAlways    bool          // compress what is too small, too. For conformance: see test/conformance
	CloseTimeout     time.Duration // for the peer to answer a close frame. Default 2 s
	ControlPerSecond int           // control frames; twice as many in a burst. 1 to 1,000,000, default 10
	MessageTimeout   time.Duration // for an unfinished message. Default 30 s
	StalledTimeout   time.Duration // for a peer that takes nothing of what waits. Default 5 min
	Origins          auth.Origins
	Logger           *slog.Logger // of panics. Default slog.Default()
}

// WithDefaults returns o with its zero fields filled in.
func (o Options) WithDefaults() Options {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.PingInterval, 25*time.Second)
	def(&o.PongTimeout, 10*time.Second)
	def(&o.CloseTimeout, 2*time.Second)
	def(&o.MessageTimeout, 30*time.Second)
	def(&o.StalledTimeout, 5*time.Minute)
	if o.ControlPerSecond <= 0 {
		o.ControlPerSecond = 10
	}
	o.ControlPerSecond = min(o.ControlPerSecond, mostControl)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// mostControl is a budget of control frames that nobody reaches.
const mostControl = 1_000_000
