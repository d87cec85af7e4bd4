package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ringdown/examples/chat"
	"ringdown/examples/demo/stage"
	"ringdown/examples/devices"
	"ringdown/examples/document"
	"ringdown/examples/game"
	"ringdown/examples/inbox"
	"ringdown/examples/prices"
	"ringdown/examples/sale"
	"ringdown/examples/scores"
	"ringdown/examples/shop"
	"ringdown/examples/transports"
	"ringdown/examples/trucks"
	"ringdown/examples/whiteboard"
)

// example is an app of the demo: its name, which is also that of its folder, of its
// first path and of its page in docs/apps; its configuration, if it has one; and how it is
// opened.
type example struct {
	name   string
	config []byte
	open   func(at stage.Setting, o *Options) (stage.App, error)
}

// examples are all of them, in the order of the gallery, which is
// stage/assets/apps.js.
var examples = []example{
	{"shop", shop.Config, openShop},
	{"chat", chat.Config, openChat},
	{"trucks", trucks.Config, openTrucks},
	{"document", document.Config, plainly(document.Open)},
	{"whiteboard", whiteboard.Config, plainly(whiteboard.Open)},
	{"prices", prices.Config, plainly(prices.Open)},
	{"inbox", inbox.Config, plainly(inbox.Open)},
	{"scores", scores.Config, plainly(scores.Open)},
	{"sale", sale.Config, plainly(sale.Open)},
	{"devices", devices.Config, openDevices},
	{"game", game.Config, plainly(game.Open)},
	{"transports", nil, plainly(transports.Open)},
}

// Names returns the names of all apps.
func Names() []string {
	names := make([]string, len(examples))
	for i, e := range examples {
		names[i] = e.name
	}
	return names
}

// choose returns the examples with these names, or all.
func choose(names []string) ([]example, error) {
	if len(names) == 0 {
		return examples, nil
	}
	chosen := []example{}
	for _, name := range names {
		i := slices.IndexFunc(examples, func(e example) bool { return e.name == name })
		if i < 0 {
			return nil, fmt.Errorf("demo: there is no app %q, but %s", name, strings.Join(Names(), ", "))
		}
		chosen = append(chosen, examples[i])
	}
	return chosen, nil
}

// config is the configuration of the demo with these apps.
func config(chosen []example) []byte {
	files := [][]byte{own}
	for _, e := range chosen {
		files = append(files, e.config)
	}
	return stage.Merge(files...)
}

// plainly is the opening of an app that has no options.
func plainly(open func(stage.Setting) (stage.App, error)) func(stage.Setting, *Options) (stage.App, error) {
	return func(at stage.Setting, _ *Options) (stage.App, error) { return open(at) }
}

func openShop(at stage.Setting, _ *Options) (stage.App, error) {
	s, err := shop.Open(shop.Options{Dir: at.Dir, Gate: at.Gate, Publish: shop.Through(at.Server), Logger: at.Logger})
	if err != nil {
		return nil, err
	}
	s.Answer(at.Server)
	return s, nil
}

func openChat(at stage.Setting, _ *Options) (stage.App, error) {
	opened := func(ctx context.Context, r chat.Room) error {
		_, err := at.Server.Publish(ctx, "rooms", "room-created", r)
		return err
	}
	return chat.Open(chat.Options{Dir: at.Dir, Gate: at.Gate, Opened: opened})
}

func openTrucks(at stage.Setting, o *Options) (stage.App, error) {
	return trucks.Open(trucks.Options{Channels: trucks.Through(at.Server), Watched: stage.Watched(at.Server, "trucks:"), Trucks: o.Trucks, Logger: at.Logger})
}

func openDevices(at stage.Setting, _ *Options) (stage.App, error) { return devices.Open(at) }
