package session

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringdown/protocol"
)

// TestSpecPresence holds the server to spec/presence.json, which is the same for
// every implementation of the protocol; spec/README.md says how it is read.
func TestSpecPresence(t *testing.T) {
	text, err := os.ReadFile("../../spec/presence.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Channel string
		People  []struct{ Name, User string }
		Steps   []struct {
			Name, From string
			Say        json.RawMessage
			Then       map[string][]any
		}
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	if len(spec.Steps) < 10 {
		t.Fatalf("%d steps", len(spec.Steps))
	}
	each(t, func(t *testing.T, o houseOptions) {
		o.policy.Anonymous = true
		h := presenceHouse(t, o)
		list := make([]*client, len(spec.People))
		// The cases list people in the order of their members' ids.
		for again := true; again; {
			for i, p := range spec.People {
				if list[i] != nil {
					list[i].leave()
				}
				list[i] = h.subscribed(p.User, spec.Channel)
			}
			again = !slices.IsSortedFunc(list, func(a, b *client) int { return strings.Compare(a.x.member(), b.x.member()) })
		}
		people := map[string]*client{}
		var names []string // <name>, id, …
		for i, p := range spec.People {
			people[p.Name] = list[i]
			names = append(names, list[i].x.member(), "<"+p.Name+">")
		}
		short := strings.NewReplacer(names...)
		slices.Reverse(names)
		long := strings.NewReplacer(names...)
		for _, step := range spec.Steps {
			people[step.From].send(long.Replace(string(step.Say)))
			for name, c := range people {
				want := step.Then[name]
				var got []any
				for range want {
					m := c.next()
					got = append(got, specValue(t, short.Replace(string(protocol.AppendJSON(nil, &m)))))
				}
				h.settle()
				if more := c.messages(); len(more) > 0 {
					t.Errorf("%s: %s was given besides %s", step.Name, name, show(more))
				}
				for _, w := range want {
					if i := slices.IndexFunc(got, func(g any) bool { return reflect.DeepEqual(g, w) }); i < 0 {
						t.Errorf("%s: %s was not given %v but %v", step.Name, name, w, got)
					} else {
						got = slices.Delete(got, i, i+1)
					}
				}
			}
		}
	})
}

// specValue is a message as the cases have it: without its time, and of an error only the code.
func specValue(t *testing.T, text string) any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	delete(v, "time")
	if d, _ := v["data"].(map[string]any); v["type"] == "error" {
		v["data"] = map[string]any{"code": d["code"]}
	}
	return v
}
