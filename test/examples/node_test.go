package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFollow is the client of docs/recovery.md: it is started before the server,
// is given what is published, and comes back when the server does.
func TestFollow(t *testing.T) {
	onEach(t, func(t *testing.T, run func(string) *script) {
		s := serve(t, "recovery.md")
		s.write(s.path("follow.mjs"), block(t, "recovery.md", "js", "orders"))
		order := func(id string) {
			s.shell(`curl -sS -H "Authorization: Bearer $RINGDOWN_API_KEY" -H 'Content-Type: application/json' -d '{"type":"order-created","data":{"id":` + id + `}}' http://127.0.0.1:8000/v1/channels/orders/messages`)
		}
		s.stop()
		client := run(s.path("follow.mjs"))
		s.turnAway()
		s.start()
		order("1")
		// The client begins with what is new, so it may not have seen the first.
		for n := 0; n < 1000 && !strings.Contains(client.said.String(), "{ id: "); n++ {
			order("2")
		}
		s.stop()
		s.turnAway()
		s.start()
		order("3")
		client.says(`\d+ \{ id: 3 \}`)
		if strings.Contains(client.said.String(), "missed") {
			t.Errorf("something was missed:\n%s", client.said.Tail())
		}
	})
}

// TestTrucks is the client of docs/state.md, with the commands beside it.
func TestTrucks(t *testing.T) {
	onEach(t, func(t *testing.T, run func(string) *script) {
		s := serve(t, "state.md")
		s.write(s.path("trucks.mjs"), block(t, "state.md", "js", "trucks"))
		key := indented(t, "state.md", "A=")
		put, remove := key+indented(t, "state.md", `curl -H "$A" -H 'Content-Type`), key+indented(t, "state.md", `curl -H "$A" -X DELETE`)
		s.shell(put)
		s.stop()
		client := run(s.path("trucks.mjs"))
		s.turnAway()
		s.start()
		client.says(`whole: Map\(1\) \{ 'truck-17' => \[ 52.5, 13.4 \] \}`)
		s.shell(remove)
		client.says(`\d+ truck-17 null`)
		s.stop()
		s.turnAway()
		s.start()
		s.shell(put)
		client.says(`\d+ truck-17 \[ 52.5, 13.4 \]`)
	})
}

// TestSignIn is what docs/authentication.md says: tokens that an application
// makes, and the two ways in which a page shows them.
func TestSignIn(t *testing.T) {
	onEach(t, func(t *testing.T, run func(string) *script) {
		s := serve(t, "authentication.md")
		sign := block(t, "authentication.md", "js", "tokenFor(user)")
		for name, connect := range map[string]string{"query": "?token=", "subprotocol": "'bearer.' + token"} {
			file := s.path(name + ".cjs")
			s.write(file, sign+"\nconst token = tokenFor('ann')\n"+block(t, "authentication.md", "js", connect)+
				"\nsocket.onmessage = ({data}) => console.log(data)\n")
			run(file).says(`"type":"welcome".*"user":"ann"`)
		}
	})
}

// TestWrapper is the handler of docs/transports.md for libraries that reconnect by
// themselves: one whose token is refused does not come back, and so its program
// ends.
func TestWrapper(t *testing.T) {
	modules, err := filepath.Abs("../../.tools/examples/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "partysocket")); err != nil {
		t.Skip("partysocket is not there; make tools installs it where there is npm")
	}
	onEach(t, func(t *testing.T, run func(string) *script) {
		s := serve(t, "authentication.md")
		if err := os.Symlink(modules, s.path("node_modules")); err != nil {
			t.Fatal(err)
		}
		s.write(s.path("wrapper.mjs"), "const token = 'bad'\n"+block(t, "transports.md", "js", "ReconnectingWebSocket")+
			"\nsocket.addEventListener('close', ({code}) => console.log('closed', code))\nprocess.on('exit', () => console.log('ends'))\n")
		run(s.path("wrapper.mjs")).says(`^closed 4001\n(closed 1000\n)?ends`)
	})
}
