package devices

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"ringdown/client"
)

// A device reads at most so many commands that it has missed.
const mostMissed = 100

// reboots is how long a device is away for one.
const reboots = 2 * time.Second

type status struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// Device is one device: a client that reports and obeys.
type Device struct {
	ID      string
	Token   func() (string, error)
	Body    *Body
	Journal Journal
	Log     *slog.Logger

	mu        sync.Mutex
	telemetry *client.Channel // nil: it is off
}

// errReboot ends a session, and the next begins.
var errReboot = errors.New("rebooting")

// Run runs the device against the server at address until ctx ends.
func (d *Device) Run(ctx context.Context, address string, wire *cord) {
	defer d.Body.fail()
	for {
		err := d.session(ctx, address, wire)
		if err != nil && !errors.Is(err, errReboot) && ctx.Err() == nil {
			d.Log.Warn("a device starts anew", "device", d.ID, "error", err)
		}
		select {
		case <-time.After(reboots):
		case <-ctx.Done():
			return
		}
	}
}

// session is the time from a start of the device to its end.
func (d *Device) session(ctx context.Context, address string, wire *cord) error {
	network := wire.transport()
	defer network.CloseIdleConnections()
	c, err := client.New(address,
		client.WithToken(func(context.Context, client.TokenReason) (string, error) { return d.Token() }),
		client.WithHTTPClient(&http.Client{Transport: network}))
	if err != nil {
		return err
	}
	defer c.Close()
	defer d.online(nil)

	// In this order: when it says that it is online, no will of an earlier session can come
	// behind that any more.
	here := c.Channel(statusChannel)
	returns := here.Subscribe(client.Rate(0.01), client.OnSubscribed(func(bool, string) {
		if _, err := here.Publish(ctx, "status", status{Status: "online"}, client.Key(d.ID)); err != nil && ctx.Err() == nil {
			d.Log.Warn("a device could not say that it is online", "device", d.ID, "error", err)
		}
	}))
	defer returns.Close()
	will := client.Will{Type: "status", Key: d.ID, Data: status{Status: "offline", Reason: "gone without a word"}}
	if err := here.Enter(ctx, nil, will); err != nil {
		return err
	}
	d.online(c.Channel(telemetryChannel))
	d.Report()

	ctx, end := context.WithCancelCause(ctx)
	var both sync.WaitGroup
	defer both.Wait()
	defer end(nil)
	both.Go(func() {
		for {
			if _, err := returns.Next(ctx); err != nil { // what others say of themselves is nothing to it
				end(err)
				return
			}
		}
	})
	end(d.follow(ctx, c))
	return context.Cause(ctx)
}

// follow obeys the commands as they come.
func (d *Device) follow(ctx context.Context, c *client.Client) error {
	replies := c.Channel("devices:" + d.ID + ":replies")
	for m, err := range c.Channel("devices:"+d.ID+":commands").Messages(ctx, client.Last(mostMissed)) {
		if err != nil {
			return err
		}
		var command Command
		if err := m.Decode(&command); err != nil {
			return err
		}
		reply, tell, err := obey(d.Journal, command, time.Now(), d.Body.Do)
		if err != nil {
			return err
		}
		if !tell {
			continue
		}
		d.Report()
		// The reply's key is the command's: told again after a restart, it is stored once
		// as long as the server remembers keys; and of several the first holds.
		if _, err := replies.Publish(ctx, "reply", reply, client.Dedupe("reply-"+reply.ID)); err != nil {
			return err
		}
		if err := d.Journal.Told(reply.ID); err != nil {
			return err
		}
		if command.Verb == "reboot" && reply.Outcome == Done {
			return errReboot
		}
	}
	return nil
}

func (d *Device) online(telemetry *client.Channel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.telemetry = telemetry
}

// Report sends what the device measures now, if it has a line: the next report is newer,
// so none is worth waiting for.
func (d *Device) Report() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.telemetry != nil {
		_ = d.telemetry.Send("telemetry", d.Body.Measure(), client.Key(d.ID))
	}
}
