package load

import "time"

// Result is what one run of a scenario measured. Parts that the scenario does not
// have are nil, as are figures of a server whose process is not known.
type Result struct {
	Server   string    `json:"server"`
	Scenario Scenario  `json:"scenario"`
	Connect  *Connect  `json:"connect,omitempty"`
	Memory   *Memory   `json:"memory,omitempty"`
	Delivery *Delivery `json:"delivery,omitempty"`
	Small    *Delivery `json:"small,omitempty"` // the small channels of Beside
	CPU      *CPU      `json:"cpu,omitempty"`
	Waves    []Wave    `json:"waves,omitempty"`
	Calm     *Delivery `json:"calm,omitempty"` // the small channels of Recover, before the others are cut; Small is while they come back

	// Missing counts publications that subscribers were never sent although later
	// ones came, or the connection ended; Disordered those that came twice or too
	// late; Late those still on their way when the run stopped waiting for them.
	// They are of the whole run, warm-up and all.
	Missing    uint64 `json:"missing"`
	Disordered uint64 `json:"disordered"`
	Late       int    `json:"late"`
	// Lost is how many subscribers the server closed, LostCause the first one's reason.
	Lost      int    `json:"lost"`
	LostCause string `json:"lost_cause,omitempty"`
}

// add counts the losses of a part of the run in.
func (r *Result) add(part *Result) {
	r.Missing += part.Missing
	r.Disordered += part.Disordered
	r.Late += part.Late
	r.Lost += part.Lost
	if r.LostCause == "" {
		r.LostCause = part.LostCause
	}
}

// Connect is the price of getting all connections ready and subscribed.
type Connect struct {
	Seconds         float64  `json:"seconds"`    // until all were upgraded and greeted
	PerSecond       float64  `json:"per_second"` // connections
	ServerMicros    *float64 `json:"server_us"`  // server CPU per connection: accept, upgrade, greeting
	SubscribeMicros *float64 `json:"subscribe_us"`
	ClientMicros    float64  `json:"client_us"`
}

// Memory is the server's resident memory, without and with all connections idle.
type Memory struct {
	StartBytes           int64    `json:"start_bytes"`
	LoadedBytes          int64    `json:"loaded_bytes"`
	PerConnection        float64  `json:"bytes_per_connection"`
	ObjectsPerConnection *float64 `json:"heap_objects_per_connection,omitempty"`
}

// Delivery is what came through in the measured window.
type Delivery struct {
	Published uint64  `json:"published"`
	Offered   float64 `json:"offered_per_second"` // deliveries that the publications called for
	Delivered uint64  `json:"delivered"`
	PerSecond float64 `json:"per_second"`
	Share     float64 `json:"share"` // PerSecond to Offered; the edges of the window may carry it past 1
	Latency   Latency `json:"latency"`
}

// Latency is in milliseconds, from when a publication was due until the client
// had it in hand.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// CPU is what both sides used in the measured window. 100 percent is one core.
type CPU struct {
	ServerPercent float64  `json:"server_percent"`
	ServerMicros  *float64 `json:"server_us_per_delivery,omitempty"`
	ClientPercent float64  `json:"client_percent"`
	ClientMicros  *float64 `json:"client_us_per_delivery,omitempty"`
}

// Wave is one time that all connections came at once.
type Wave struct {
	Name         string   `json:"name"`    // "first" or "again"; "back" in Recover, with all that was missed
	Seconds      float64  `json:"seconds"` // until all were subscribed
	PerSecond    float64  `json:"per_second"`
	ServerMicros *float64 `json:"server_us"` // server CPU per connection, subscribing included
}

// Progress says how far a run has got.
type Progress struct {
	Phase string  // "connect", "subscribe", "settle", "warm up", "measure", "drain", "cut"
	Done  float64 // share of the phase, 0 to 1
}

// meter is a reading of both sides' clocks.
type meter struct {
	at             time.Duration
	server, client time.Duration
}

// usage is the difference of two readings.
type usage struct {
	wall, server, client time.Duration
	known                bool // whether server is
}

func (u usage) perSecond(n float64) float64 { return n / max(u.wall.Seconds(), 1e-9) }

// serverMicros is server CPU per each of n, nil if it is not known.
func (u usage) serverMicros(n float64) *float64 {
	if !u.known || n == 0 {
		return nil
	}
	v := micros(u.server) / n
	return &v
}

func (u usage) clientMicros(n float64) *float64 {
	if n == 0 {
		return nil
	}
	v := micros(u.client) / n
	return &v
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
