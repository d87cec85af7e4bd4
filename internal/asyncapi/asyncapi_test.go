package asyncapi

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"ringdown/internal/channel"
)

func table(t *testing.T) *channel.Table {
	t.Helper()
	tb, err := channel.NewTable([]*channel.Declaration{
		{Name: "orders", About: "Every order", History: &channel.History{Messages: 10},
			Events: map[string]*channel.Event{
				"order-created": {Name: "order-created", SchemaJSON: json.RawMessage(`{"type":"object","required":["id"]}`)},
				"order-shipped": {Name: "order-shipped"}},
			Allow: channel.Allow{Subscribe: channel.SignedIn}},
		{Name: "chat:{room}", Allow: channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}, ShowFrom: true},
		{Name: "trucks:{region}", State: &channel.State{}, Allow: channel.Allow{Publish: channel.SignedIn}},
		{Name: "hall", Presence: true, Allow: channel.Allow{Subscribe: channel.Anyone, Presence: channel.SignedIn}},
		{Name: "*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func TestDocument(t *testing.T) {
	text, err := Document(table(t), nil, Info{Title: "Shop", Version: "1", Host: "shop.example", Path: "/v1/ws"})
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Document(table(t), nil, Info{Title: "Shop", Version: "1", Host: "shop.example", Path: "/v1/ws"})
	if !bytes.Equal(text, again) {
		t.Error("the same table gives another document")
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	checkRefs(t, doc, doc)
	get := func(path string) any {
		var at any = doc
		for p := range strings.SplitSeq(path, "/") {
			m, ok := at.(map[string]any)
			if !ok || m[p] == nil {
				t.Fatalf("there is no %s", path)
			}
			at = m[p]
		}
		return at
	}
	if get("asyncapi") != "3.0.0" || get("channels/chat_room/address") != "chat:{room}" {
		t.Error("the head or an address is wrong")
	}
	get("channels/chat_room/parameters/room")
	get("components/schemas/orders.order-created/required")
	get("components/messages/trucks_region.any/payload/properties/key")
	if get("operations/subscribe.orders/action") != "receive" || get("operations/publish.chat_room/action") != "send" {
		t.Error("operations have the wrong direction")
	}
	get("components/messages/hall.presence/payload/properties/data/properties/member/properties/user")
	if get("channels/hall/messages/presence/$ref") != "#/components/messages/hall.presence" || get("operations/presence.hall/summary") != "presence: signed_in" {
		t.Error("presence is not described")
	}
	if doc["channels"].(map[string]any)["orders"].(map[string]any)["messages"].(map[string]any)["presence"] != nil {
		t.Error("presence is described where there is none")
	}
	ops := get("operations").(map[string]any)
	for _, not := range []string{"publish.orders", "subscribe.trucks_region", "subscribe.any"} {
		if ops[not] != nil {
			t.Errorf("%s is allowed to nobody, and described", not)
		}
	}
}

var key = regexp.MustCompile(`^[\w.\-]+$`)

// checkRefs follows every $ref, and checks that the keys of the maps of things
// are such as AsyncAPI takes.
func checkRefs(t *testing.T, doc map[string]any, at any) {
	t.Helper()
	switch v := at.(type) {
	case map[string]any:
		for k, child := range v {
			if ref, ok := child.(string); ok && k == "$ref" {
				var to any = doc
				for p := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := to.(map[string]any)
					if !key.MatchString(p) || m == nil || m[p] == nil {
						t.Errorf("%s leads nowhere", ref)
						break
					}
					to = m[p]
				}
			}
			checkRefs(t, doc, child)
		}
	case []any:
		for _, child := range v {
			checkRefs(t, doc, child)
		}
	}
}
