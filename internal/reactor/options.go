package reactor

import (
	"log/slog"
	"runtime"
)

// Options make an Engine. Zero fields mean the defaults.
type Options struct {
	Engine       string // "epoll" (Linux), "std", or "" for the best there is
	Loops        int    // default GOMAXPROCS, 256 at most
	SendBuffer   int    // bytes asked of the kernel for each socket (it doubles them). Default 64 KiB
	NotSentLowat int    // bytes that may wait unsent in the kernel (Linux). Default 16 KiB
	ReadBuffer   int    // bytes that one read takes at most. Default 64 KiB
	Logger       *slog.Logger
}

// mostLoops lets callers keep a loop's index in a byte.
const mostLoops = 256

func (o Options) withDefaults() Options {
	if o.Engine == "" {
		o.Engine = best
	}
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	o.Loops = min(o.Loops, mostLoops)
	o.SendBuffer = orDefault(o.SendBuffer, 64<<10)
	o.NotSentLowat = orDefault(o.NotSentLowat, 16<<10)
	o.ReadBuffer = orDefault(o.ReadBuffer, 64<<10)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func orDefault(n, d int) int {
	if n <= 0 {
		return d
	}
	return n
}
