package shop

import (
	"bytes"
	"context"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/examples/outbox"
)

// Through returns the Publish that takes the shop's events to srv's channels.
func Through(srv *ringdown.Server) outbox.Publish { return outbox.Through(srv, "shop") }

// Answer takes orders over the socket: {"type":"order","id":1,"data":{"lines":…}}
// does what POST /shop/orders does, and the ack brings the order.
func (s *Shop) Answer(srv *ringdown.Server) {
	srv.HandleCall("order", func(_ context.Context, call *ringdown.Call) (any, error) {
		who, err := stage.CallerOf(call.Claims)
		if err != nil {
			return nil, err
		}
		var d Draft
		if err := stage.DecodeJSON(bytes.NewReader(call.Data), &d); err != nil {
			return nil, err
		}
		o, _, err := s.Place(who, d)
		if err != nil {
			return nil, err // not o: a nil *Order is not a nil result
		}
		return o, nil
	})
}
