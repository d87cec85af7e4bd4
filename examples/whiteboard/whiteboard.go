// Package whiteboard is an example: a board on which several draw.
//
// A board is a state channel, whiteboard:NAME, and a stroke one of its keys. The key is
// the author's name and a random id, ann/5f…, so it is plain from the key alone whose
// stroke it is, and OnPublish lets nobody write or delete any but their own. Rules cannot
// say that, for they do not see the key. A stroke that is being drawn is told by ephemeral
// events, and stored once when it is finished.
//
// What the back end does besides: it counts the strokes of a board, and clears one.
package whiteboard

import (
	"context"
	"embed"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

const (
	prefix = "whiteboard:"
	// MaxStrokes is how many strokes a board has at most.
	MaxStrokes = 2000
	// deletions is how many a clearing has under way at a time.
	deletions = 16
)

// strokeID is the part of a key behind the author's name.
var strokeID = regexp.MustCompile(`^[0-9a-f]{8,32}$`)

var boardName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Config is the real-time API of the boards.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var web embed.FS

// channels is what the app needs of a server.
type channels interface {
	State(ctx context.Context, channel string) (ringdown.State, error)
	Publish(ctx context.Context, channel, event string, data any, opts ...ringdown.PublishOption) (ringdown.Receipt, error)
}

// guard judges what users publish on boards. It is safe for concurrent use.
type guard struct {
	channels channels
	count    *counter
	log      *slog.Logger
}

// Open makes the app, and sets its hook and its call.
func Open(at stage.Setting) (stage.App, error) {
	g := &guard{at.Server, newCounter(at.Server), at.Logger}
	at.Server.OnPublish(g.publish)
	at.Server.HandleCall("whiteboard-clear", g.clear)
	return stage.Folder("whiteboard", web), nil
}

// publish refuses strokes of others, and those for which there is no room.
func (g *guard) publish(ctx context.Context, c *ringdown.Connection, m *ringdown.Message) error {
	if !strings.HasPrefix(m.Channel, prefix) {
		return nil
	}
	if !boardName.MatchString(strings.TrimPrefix(m.Channel, prefix)) {
		return protocol.Errorf(protocol.CodeBadRequest, "the name of a board is 1 to 40 small letters, digits and '-', and does not begin with '-'")
	}
	if m.Event != "stroke" {
		if m.Key != "" {
			return protocol.Errorf(protocol.CodeBadRequest, "only a stroke has a key")
		}
		return nil
	}
	author, id, _ := strings.Cut(m.Key, "/")
	if author != c.User || c.User == "" {
		return protocol.Errorf(protocol.CodeForbidden, "this stroke is not yours: the key of yours begins with %q", c.User+"/")
	}
	if !strokeID.MatchString(id) {
		return protocol.Errorf(protocol.CodeBadRequest, "behind the author's name a key has 8 to 32 digits from 0 to f")
	}
	if !m.Binary && string(m.Data) == "null" {
		return nil // that it will be deleted is not sure: of a dedupe key that was used it is not
	}
	return g.count.add(ctx, m.Channel, m.Key)
}

// clear deletes all strokes that a board has. Those that are drawn meanwhile stay.
func (g *guard) clear(ctx context.Context, c *ringdown.Call) (any, error) {
	if c.User == "" {
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "sign in to clear a board")
	}
	var asked struct{ Board string }
	if err := stage.DecodeJSON(strings.NewReader(string(c.Data)), &asked); err != nil {
		return nil, err
	}
	if !boardName.MatchString(asked.Board) {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "there is no board of that name")
	}
	channel := prefix + asked.Board
	state, err := g.channels.State(ctx, channel)
	if err != nil {
		return nil, err
	}
	if err := g.delete(ctx, channel, slices.Collect(maps.Keys(state.Values))); err != nil {
		g.log.Error("a board was not cleared", "channel", channel, "error", err)
		return nil, err
	}
	return map[string]int{"strokes": len(state.Values)}, nil
}

// delete deletes strokes, a few at a time: each waits for the disk. It returns the first
// error, after which it begins no other.
func (g *guard) delete(ctx context.Context, channel string, keys []string) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan string)
	var workers sync.WaitGroup
	for range deletions {
		workers.Go(func() {
			for key := range next {
				if _, err := g.channels.Publish(ctx, channel, "stroke", nil, ringdown.WithKey(key)); err != nil {
					stop(err)
					continue
				}
				g.count.remove(channel, key)
			}
		})
	}
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		next <- key
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
