// Package wrong does not compile: a message has a text.
package wrong

import (
	"context"

	"ringdown/client"
	"ringdown/internal/typegen/testdata/shop"
)

var _ context.Context

func wrong(ctx context.Context, c *client.Client) {
	shop.Chat(c, "42").PublishMessage(ctx, shop.ChatMessage{Txt: "hello"})
}
