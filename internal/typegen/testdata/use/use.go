// Package use uses the types as they are meant; it has to compile.
package use

import (
	"context"

	"ringdown/client"
	"ringdown/internal/typegen/testdata/shop"
)

// Use says and asks something of each kind.
func Use(ctx context.Context, c *client.Client, m *client.Message) error {
	if _, err := shop.Chat(c, "42").PublishMessage(ctx, shop.ChatMessage{Text: "hello"}); err != nil {
		return err
	}
	if _, err := shop.Trucks(c, "eu").PublishPosition(ctx, [2]float64{52.5, 13.4}, client.Key("t1")); err != nil {
		return err
	}
	if order, ok, err := shop.Orders(c).AsOrderCreated(m); err != nil || ok && order.Status == "paid" {
		return err
	}
	answer, err := shop.CallPrice(ctx, c, shop.PriceData{Sku: "x"})
	_ = answer.Price
	return err
}
