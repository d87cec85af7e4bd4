package load

import (
	"context"
	"fmt"
	"time"
)

// Way is how users follow a channel.
type Way string

// The ways there are.
const (
	ShortPoll Way = "short-poll" // each user asks at fixed times whether there is anything new
	LongPoll  Way = "long-poll"  // each asks, and the answer comes when there is something
	SSE       Way = "sse"        // one answer that does not end
	WebSocket Way = "websocket"
)

// Following is users who follow one channel on which an update comes each second.
type Following struct {
	Way   Way           `json:"way"`
	Every time.Duration `json:"every_ns,omitempty"` // of ShortPoll: how often each user asks
	Users int           `json:"users"`
	// Headers are further lines of each request, each ending in CR LF: see BrowserHeaders.
	Headers string `json:"-"`
	// Token makes the token of a user. User 0 is the publisher.
	Token    func(user int) (string, error) `json:"-"`
	Duration time.Duration                  `json:"duration_ns"`
}

// FollowChannel is the channel that is followed. The server declares it with a history, so
// that who asks now and then can be told what it has missed.
const FollowChannel = "updates"

// BrowserHeaders are what Chromium 140 sends with a fetch of a page's own server, beside
// what every client sends. No cookies, of which a real site has more.
const BrowserHeaders = "Connection: keep-alive\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"Accept: */*\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: cors\r\n" +
	"Sec-Fetch-Dest: empty\r\n" +
	"Referer: http://127.0.0.1:8000/dashboard\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n"

// Figures are what following has cost. Those of an update are of each update that was
// delivered to one user. Bytes are what TCP carried, without its own headers and those of IP.
type Figures struct {
	Requests   float64 `json:"requests_per_second"`
	BytesUp    float64 `json:"bytes_up_per_update"`
	BytesDown  float64 `json:"bytes_down_per_update"`
	CPUPercent float64 `json:"server_cpu_percent"` // 100 is one core
	CPUMicros  float64 `json:"server_cpu_us_per_update"`
	P50        float64 `json:"delay_p50_ms"` // from when an update was due until the user had it
	P99        float64 `json:"delay_p99_ms"`
	Max        float64 `json:"delay_max_ms"`
	Memory     float64 `json:"server_bytes_per_user"` // what the server has grown by, garbage included
	Client     float64 `json:"client_cpu_percent"`
}

// list is all figures, in one order.
func (f *Figures) list() []*float64 {
	return []*float64{&f.Requests, &f.BytesUp, &f.BytesDown, &f.CPUPercent, &f.CPUMicros, &f.P50, &f.P99, &f.Max, &f.Memory, &f.Client}
}

// Tally is what became of the updates. All but the first two are of the whole run.
type Tally struct {
	Published uint64 `json:"published"` // in the measured window
	Delivered uint64 `json:"delivered"` // in the measured window, to all users together
	// Missing are updates that a user never got, Disordered those that came twice or out of
	// order, Skipped the polls that were not sent because the last was still unanswered.
	Missing    uint64 `json:"missing"`
	Disordered uint64 `json:"disordered"`
	Skipped    uint64 `json:"skipped"`
	Lost       int    `json:"lost"` // users whose connection the server closed
}

// Followed is what one run has measured.
type Followed struct {
	Following
	Figures
	Tally
}

// lateFor is how much longer than a poll's period the end of a run waits for updates.
const lateFor = 5 * time.Second

// Follow has users follow the channel for a while and says what that has cost. It connects
// them all, lets them follow until each has asked at least once, measures, and then waits
// until everybody has every update. progress may be nil. The server has to admit
// the tokens, to publish to FollowChannel for the first and to read it for the others.
func Follow(ctx context.Context, f Following, t Target, progress func(Progress)) (*Followed, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	server := ProcessOf(t.PID)
	before, err := server.Memory()
	if err != nil {
		return nil, err
	}
	a, err := newAudience(f, t)
	if err != nil {
		return nil, err
	}
	defer a.wire.stop()
	if err := a.assemble(ctx, progress); err != nil {
		return nil, err
	}
	if err := a.drive(ctx, max(f.Every, 2*time.Second), a.part(progress, "warm up")); err != nil {
		return nil, err
	}
	r := &Followed{Following: f}
	if err := a.measure(ctx, r, server, a.part(progress, "measure")); err != nil {
		return nil, err
	}
	loaded, err := server.Memory()
	if err != nil {
		return nil, err
	}
	r.Memory = float64(loaded-before) / float64(f.Users)
	a.silent = true
	if err := a.drain(ctx, f.Every+lateFor, a.part(progress, "drain")); err != nil {
		return nil, err
	}
	r.Missing, r.Disordered, r.Skipped, r.Lost = a.gone+a.owed(), a.disordered, a.skipped, a.lost
	return r, nil
}

func (f Following) validate() error {
	switch {
	case f.Way == ShortPoll && (f.Every < 10*time.Millisecond || f.Every > time.Minute):
		return fmt.Errorf("load: users poll each 10 ms to 1 minute, not each %v", f.Every)
	case f.Way != ShortPoll && f.Every != 0:
		return fmt.Errorf("load: %s has no period", f.Way)
	case f.Way != ShortPoll && f.Way != LongPoll && f.Way != SSE && f.Way != WebSocket:
		return fmt.Errorf("load: there is no way %q", f.Way)
	case f.Users < 1:
		return fmt.Errorf("load: %d users; at least one is needed", f.Users)
	case f.Token == nil:
		return fmt.Errorf("load: users need tokens")
	case f.Duration < f.Every || f.Duration < time.Second:
		return fmt.Errorf("load: a duration of %v; it takes a second, and as long as the users need to ask once", f.Duration)
	}
	return nil
}

// part makes the report of a phase.
func (a *audience) part(progress func(Progress), phase string) func(done float64) {
	var last time.Time
	return func(done float64) {
		if now := time.Now(); now.Sub(last) >= reportEvery {
			last = now
			progress(Progress{Phase: phase, Done: done})
		}
	}
}

// measure drives the users for the measured time and fills in what that has cost.
func (a *audience) measure(ctx context.Context, r *Followed, server Process, report func(float64)) error {
	cpu, err := server.CPU()
	if err != nil {
		return err
	}
	begin, own, was := a.now(), ownCPU(), a.counts
	a.latency.Reset()
	if err := a.drive(ctx, r.Duration, report); err != nil {
		return err
	}
	now, err := server.CPU()
	if err != nil {
		return err
	}
	wall := (a.now() - begin).Seconds()
	delivered := a.delivered - was.delivered
	each := float64(max(delivered, 1))
	delay := a.latency.Latency()
	r.Published, r.Delivered = a.published-was.published, delivered
	r.Figures = Figures{
		Requests:   float64(a.requests-was.requests) / wall,
		BytesUp:    float64(a.sent-was.sent) / each,
		BytesDown:  float64(a.received-was.received) / each,
		CPUPercent: 100 * (now - cpu).Seconds() / wall,
		CPUMicros:  micros(now-cpu) / each,
		P50:        delay.P50, P99: delay.P99, Max: delay.Max,
		Client: 100 * (ownCPU() - own).Seconds() / wall,
	}
	return nil
}
