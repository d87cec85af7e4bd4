// Package inbox is an example: notifications, and what of them is read, on all devices
// of a user at once.
//
// A channel with history is the inbox: whoever was away gets what came meanwhile, and
// older ones are read page by page. A state channel beside it has the marks: its keys are
// few, each device has them at once, and a change on one is seen on the others.
//
// Marks are written by the application alone. A device that was offline says late what
// it has marked, and a write of its own would put back what others have marked since.
package inbox

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// Config is the configuration of the inbox alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var pages embed.FS

// every is how often somebody who looks is told something made up.
const every = 15 * time.Second

// Notification is what a user is told.
type Notification struct {
	Kind string `json:"kind"` // mention, order, system
	Text string `json:"text"`
	By   string `json:"by,omitempty"` // who sent it, if that was a user
}

// Inbox answers the calls and makes up some notifications while somebody looks.
type Inbox struct {
	*stage.Simulation
	server *ringdown.Server
	log    *slog.Logger
	marks  sync.Mutex // one change of marks at a time: each reads what it changes
}

// Open answers the calls of an inbox.
func Open(at stage.Setting) (stage.App, error) {
	b := &Inbox{server: at.Server, log: at.Logger}
	b.Simulation = stage.Simulate(every, stage.Watched(at.Server, "inbox:"), b.chatter)
	at.Server.HandleCall("inbox-send", b.send)
	at.Server.HandleCall("inbox-read", b.read)
	at.Server.HandleCall("inbox-mute", b.mute)
	return b, nil
}

// Routes adds the page to mux, under /inbox/.
func (b *Inbox) Routes(mux *http.ServeMux) {
	web, _ := fs.Sub(pages, "web")
	mux.Handle("/inbox/", http.StripPrefix("/inbox", stage.Pages(web)))
}

// send tells somebody something. The schema of the call has judged its form.
func (b *Inbox) send(ctx context.Context, c *ringdown.Call) (any, error) {
	who, err := stage.CallerOf(c.Claims)
	if err != nil {
		return nil, err
	}
	var d struct{ To, Kind, Text, Reference string }
	if err := stage.DecodeJSON(bytes.NewReader(c.Data), &d); err != nil {
		return nil, err
	}
	var options []ringdown.PublishOption
	if d.Reference != "" {
		// Of one sender: nobody shall be able to take the reference of another.
		options = append(options, ringdown.WithDedupe(who.User+" "+d.Reference))
	}
	receipt, err := b.server.Publish(ctx, "inbox:"+d.To, "notification", Notification{d.Kind, d.Text, who.User}, options...)
	if err != nil {
		return nil, err
	}
	return map[string]any{"offset": receipt.Offset}, nil
}

// read marks notifications as read, for all devices of who asks.
func (b *Inbox) read(ctx context.Context, c *ringdown.Call) (any, error) {
	who, err := stage.CallerOf(c.Claims)
	if err != nil {
		return nil, err
	}
	var d struct {
		Epoch   string
		Upto    uint64
		Offsets []uint64
	}
	if err := stage.DecodeJSON(bytes.NewReader(c.Data), &d); err != nil {
		return nil, err
	}
	newest, err := b.server.History(ctx, "inbox:"+who.User, ringdown.HistoryRange{Before: ringdown.End, Limit: 1})
	if err != nil {
		return nil, err
	}
	if d.Epoch != newest.Epoch {
		return nil, protocol.Errorf(protocol.CodeConflict, "the inbox began anew since: these offsets are of another epoch")
	}
	head := uint64(0)
	for _, m := range newest.Messages {
		head = m.Offset
	}
	for _, offset := range append(d.Offsets, d.Upto) {
		if offset > head {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "there is no notification %d: the newest is %d", offset, head)
		}
	}
	b.marks.Lock()
	defer b.marks.Unlock()
	before, err := b.marksOf(ctx, who.User)
	if err != nil {
		return nil, err
	}
	after := before.read(d.Epoch, d.Upto, d.Offsets)
	if after.equal(before) {
		return after, nil
	}
	_, err = b.server.Publish(ctx, marksChannel(who.User), "read", after, ringdown.WithKey("read"))
	return after, err
}

// mute says which kinds are not to disturb who asks.
func (b *Inbox) mute(ctx context.Context, c *ringdown.Call) (any, error) {
	who, err := stage.CallerOf(c.Claims)
	if err != nil {
		return nil, err
	}
	_, err = b.server.Publish(ctx, marksChannel(who.User), "muted", c.Data, ringdown.WithKey("muted"))
	return nil, err
}

func marksChannel(user string) string { return "inbox:" + user + ":marks" }

func (b *Inbox) marksOf(ctx context.Context, user string) (m Marks, err error) {
	m.Also = []uint64{}
	kept, err := b.server.State(ctx, marksChannel(user))
	if err != nil {
		return m, err
	}
	if v, ok := kept.Values["read"]; ok {
		err = json.Unmarshal(v.Data, &m)
	}
	return m, err
}

var rumours = []Notification{
	{Kind: "order", Text: "Your parcel has left the harbour post."},
	{Kind: "order", Text: "The parcel is with your neighbour, who has a cat."},
	{Kind: "system", Text: "The line was tested tonight. It rang."},
	{Kind: "system", Text: "A new device has signed in: a telephone with a dial."},
	{Kind: "mention", Text: "You were named in a room called night-shift."},
	{Kind: "mention", Text: "Somebody asks whether the bird on the wire is yours."},
}

// chatter tells everybody who looks something made up.
func (b *Inbox) chatter(ctx context.Context, _ time.Time) {
	watched, err := b.server.Channels(ctx, "inbox:")
	for _, c := range watched {
		if strings.HasSuffix(c.Name, ":marks") {
			continue
		}
		if _, err = b.server.Publish(ctx, c.Name, "notification", rumours[rand.IntN(len(rumours))]); err != nil {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		b.log.Warn("nobody was told a rumour", "error", err)
	}
}
