// Command centrifuge is a rival: a small server on the library that Centrifugo is
// built on, github.com/centrifugal/centrifuge, with its in-memory broker. Anyone
// may connect, subscribe and publish. Its own batching, up to 16 messages in one
// frame, is on, as is the pool of write buffers that it has for many connections;
// logs, history and presence are off. Write delays and channel batching, which
// trade latency for throughput, stay off, as by default.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/centrifugal/centrifuge"

	"ringdown/bench/internal/host"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "centrifuge:", err)
		os.Exit(1)
	}
}

func run() error {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			reply(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	return host.Serve(centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{UseWriteBufferPool: true}))
}
