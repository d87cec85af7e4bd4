package rule

import (
	"encoding/json"
	"testing"

	"ringdown/internal/channel"
)

func TestValues(t *testing.T) {
	request := &channel.Request{User: "ann", Channel: "chat:7", Event: "message",
		Claims: claims(`{"roles":["driver"],"plan":{"name":"pro"},"secret":"x"}`), Params: map[string]string{"room": "7", "a": "b"}}
	for rule, want := range map[string]string{
		"anyone":                                 `[]`,
		"none":                                   `[]`,
		"signed_in":                              `[{"name":"user","value":"ann"}]`,
		"user == params.room":                    `[{"name":"user","value":"ann"},{"name":"params.room","value":"7"}]`,
		"'driver' in claims.roles":               `[{"name":"claims.roles","value":["driver"]}]`,
		"claims['plan'].name == 'pro' || anyone": `[{"name":"claims.plan.name","value":"pro"}]`,
		"has(claims.rooms) && claims.rooms == 'x'":   `[{"name":"claims.rooms","value":null,"missing":true}]`,
		"claims.roles.exists(user, user == channel)": `[{"name":"claims.roles","value":["driver"]},{"name":"channel","value":"chat:7"}]`,
		"claims.size() > 2 && [event] == ['x']":      `[{"name":"claims","value":{"plan":{"name":"pro"},"roles":["driver"],"secret":"x"}},{"name":"event","value":"message"}]`,
		"{user: 1}.size() == 1 && signed_in":         `[{"name":"user","value":"ann"},{"name":"signed_in","value":true}]`,
	} {
		got, err := json.Marshal(Values(mustCompile(t, rule), request))
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s %v\nwant %s", rule, got, err, want)
		}
	}
}
