// Package wrong does not compile: the price is asked for by a sku.
package wrong

import (
	"context"

	"ringdown/client"
	"ringdown/internal/typegen/testdata/shop"
)

var _ context.Context

func wrong(ctx context.Context, c *client.Client) {
	shop.CallPrice(ctx, c, shop.ChatMessage{})
}
