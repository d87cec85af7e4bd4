// Command centrifuge is a rival: a small server on the library that Centrifugo is
// built on, github.com/centrifugal/centrifuge, with its in-memory broker. Anyone
// may connect, subscribe and publish. Its own batching, up to 16 messages in one
// frame, is on, as is the pool of write buffers that it has for many connections;
// logs and presence are off, and so is history but on kept:…, which is for coming back.
// Write delays and channel batching, which
// trade latency for throughput, stay off, as by default.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"

	"ringdown/bench/internal/host"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "centrifuge:", err)
		os.Exit(1)
	}
}

// kept tells the channels that keep their messages.
func kept(channel string) bool { return strings.HasPrefix(channel, "kept:") }

func run() error {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: kept(e.Channel)}}, nil)
		})
		client.OnPublish(func(e centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			var o centrifuge.PublishOptions
			if kept(e.Channel) {
				o = centrifuge.PublishOptions{HistorySize: 1000, HistoryTTL: time.Hour}
			}
			reply(centrifuge.PublishReply{Options: o}, nil)
		})
	})
	if address := os.Getenv("RINGDOWN_BENCH_REDIS"); address != "" {
		shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: address})
		if err != nil {
			return err
		}
		broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
		if err != nil {
			return err
		}
		node.SetBroker(broker)
	}
	if err := node.Run(); err != nil {
		return err
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	return host.Serve(centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{UseWriteBufferPool: true}))
}
