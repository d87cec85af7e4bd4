// Package wrong does not compile: there is no such event.
package wrong

import (
	"context"

	"ringdown/client"
	"ringdown/internal/typegen/testdata/shop"
)

var _ context.Context

func wrong(ctx context.Context, c *client.Client) {
	shop.Chat(c, "42").PublishNote(ctx, shop.ChatMessage{})
}
