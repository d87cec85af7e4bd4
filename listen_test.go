package ringdown_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringdown"
)

// TestListen: several addresses at once, a Unix socket among them, whose file is
// taken over from a server that was killed and removed at the end.
func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	s := start(t, ringdown.Options{Config: []byte(strings.Replace(conf, "listen: 127.0.0.1:0", fmt.Sprintf("listen: [127.0.0.1:0, '[::1]:0', 'unix:%s']\ntrusted_proxies: [unix]", path), 1))})
	addrs := s.Addrs()
	if len(addrs) != 3 || addrs[0] != s.Addr() {
		t.Fatal(addrs)
	}
	for _, a := range addrs {
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, a.Network(), a.String())
		}}
		resp, err := (&http.Client{Transport: tr}).Get("http://ringdown/livez")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%v: %s", a, resp.Status)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the socket is left:", err)
	}
}

// TestAddressTaken: who listens already is told of before the store is touched,
// and a start that fails leaves nothing: the same configuration starts later.
func TestAddressTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	free := filepath.Join(t.TempDir(), "s")
	config := strings.Replace(conf, "listen: 127.0.0.1:0", fmt.Sprintf("listen: ['unix:%s', '%s']\nstore: {dir: %q}", free, taken.Addr(), dir), 1)
	s, err := ringdown.New(ringdown.Options{Config: []byte(config), Env: env, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") || strings.Contains(err.Error(), dir) {
		t.Errorf("started on an address that is taken: %v", err)
	}
	for _, path := range []string{dir, free} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", path, err)
		}
	}
	taken.Close()
	again := start(t, ringdown.Options{Config: []byte(config)})
	if err := again.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRealAddress: behind a proxy that is trusted the client's address is the one
// that hooks, listings and the log have, whatever the transport; what others say
// is not believed.
func TestRealAddress(t *testing.T) {
	for name, c := range map[string]struct{ trusted, header, value, want string }{
		"X-Forwarded-For": {"[127.0.0.0/8, 10.0.0.0/8]", "X-Forwarded-For", "6.6.6.6, 203.0.113.7, 10.0.0.1", "203.0.113.7"},
		"Forwarded":       {"127.0.0.1", "Forwarded", `for="[2001:db8::7]:99";proto=https`, "[2001:db8::7]:99"},
		"garbage":         {"127.0.0.1", "X-Forwarded-For", "<me>", "127.0.0.1:"},
		"not trusted":     {"192.0.2.1", "X-Forwarded-For", "203.0.113.7", "127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			seen := make(chan string, 10)
			s, err := ringdown.New(ringdown.Options{
				Config: []byte(strings.Replace(conf, "paths:", "trusted_proxies: "+c.trusted+"\npaths:", 1)), Env: env, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			s.OnConnect(func(_ context.Context, c *ringdown.Connection) error { seen <- c.RemoteAddr; return nil })
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			base, head := "http://"+s.Addr().String(), http.Header{c.header: {c.value}}
			ws, _, err := websocket.Dial(t.Context(), base+"/v1/ws", &websocket.DialOptions{HTTPHeader: head})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			streaming := request(t, base+"/v1/sse?channel=orders", head)
			defer streaming.Body.Close()
			request(t, base+"/v1/poll?channel=orders", head).Body.Close()
			for range 3 {
				if got := <-seen; !strings.HasPrefix(got, c.want) {
					t.Errorf("a hook is told %q, want %q", got, c.want)
				}
			}
			listed := request(t, base+"/v1/connections", http.Header{"Authorization": {"Bearer a-key-of-sixteen-bytes-or-more"}})
			defer listed.Body.Close()
			var page struct {
				Connections []struct {
					RemoteAddr string `json:"remote_addr"`
				}
			}
			if err := json.NewDecoder(listed.Body).Decode(&page); err != nil || len(page.Connections) < 2 {
				t.Fatal(page, err)
			}
			for _, x := range page.Connections {
				if !strings.HasPrefix(x.RemoteAddr, c.want) {
					t.Errorf("listed with %q, want %q", x.RemoteAddr, c.want)
				}
			}
		})
	}
}

func request(t *testing.T, url string, head http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = head.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s %s", url, resp.Status, body)
	}
	return resp
}

// TestRequestsOfAnAddress: REST, polls and what is posted are counted together, for
// each client that a proxy speaks for; server keys and WebSockets are not.
func TestRequestsOfAnAddress(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(conf + "trusted_proxies: 127.0.0.1\nlimits: {address: {requests_per_second: 1, requests_burst: 4}}\n")})
	base := "http://" + s.Addr().String()
	ask := func(method, path, client string, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", client)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	refused := func(resp *http.Response) bool {
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusTooManyRequests {
			return false
		}
		if !strings.Contains(string(text), `"limit":"limits.address.requests_per_second"`) || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s, Retry-After %q", text, resp.Header.Get("Retry-After"))
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Access-Control-Expose-Headers") != "Retry-After" {
			t.Errorf("pages may not read why: %v", resp.Header)
		}
		return true
	}
	for i, path := range []string{"/v1/channels/orders/messages", "/v1/poll", "/v1/poll", "/livez"} {
		if method := []string{"GET", "GET", "POST", "GET"}[i]; refused(ask(method, path, "2001:db8::1")) {
			t.Fatalf("%s %s, request %d of 4", method, path, i+1)
		}
	}
	for _, client := range []string{"2001:db8::1", "2001:db8::ffff:2"} { // one line
		for _, ask := range []func() *http.Response{
			func() *http.Response {
				return ask("GET", "/v1/channels/orders/messages", client, "Authorization", "Bearer no")
			},
			func() *http.Response { return ask("POST", "/v1/sse?channel=orders", client) },
			func() *http.Response { return ask("POST", "/v1/poll", client) },
			func() *http.Response { return ask("POST", "/v1/connections/x/messages", client) },
		} {
			if resp := ask(); !refused(resp) {
				t.Errorf("%s of %s is answered with %s", resp.Request.URL.Path, client, resp.Status)
			}
		}
	}
	for range 20 {
		if resp := ask("GET", "/v1/channels/orders/messages", "2001:db8::1", "Authorization", "Bearer "+key); resp.StatusCode != http.StatusOK {
			t.Fatalf("with a server key: %s", resp.Status)
		}
	}
	if refused(ask("GET", "/livez", "203.0.113.7")) || refused(ask("GET", "/livez", "2001:db8:0:1::1")) {
		t.Error("somebody else is refused")
	}
	if ws, resp, err := websocket.Dial(t.Context(), base+"/v1/ws", &websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-For": {"2001:db8::1"}}}); err != nil {
		t.Errorf("a WebSocket: %v %v", resp, err)
	} else {
		_ = ws.CloseNow()
	}
}

// TestAddressLimit: a client that a proxy speaks for has its own limit, and others
// behind the same proxy theirs; streams count for as long as they last.
func TestAddressLimit(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(conf + "trusted_proxies: 127.0.0.1\nlimits: {address: {connections: 2, handshakes_per_second: 3, handshakes_burst: 3}}\n")})
	base := "http://" + s.Addr().String()
	dial := func(client string) (*websocket.Conn, int) {
		ws, resp, err := websocket.Dial(t.Context(), base+"/v1/ws", &websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-For": {client}}})
		if err != nil && resp == nil {
			t.Fatal(err)
		}
		return ws, resp.StatusCode
	}
	first, status := dial("2001:db8::1")
	if status != http.StatusSwitchingProtocols {
		t.Fatal(status)
	}
	second, status := dial("2001:db8::2") // the same line
	if status != http.StatusSwitchingProtocols {
		t.Fatal(status)
	}
	if _, status := dial("2001:db8::3"); status != http.StatusTooManyRequests {
		t.Errorf("a third of one line: %d", status)
	}
	other, status := dial("203.0.113.7")
	if status != http.StatusSwitchingProtocols {
		t.Errorf("somebody else: %d", status)
	}
	_ = second.CloseNow()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		third, status := dial("2001:db8::3")
		if status == http.StatusSwitchingProtocols {
			_ = third.CloseNow()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the place of one that left is not given back")
		}
	}
	_, _ = first.CloseNow(), other.CloseNow()
	refused := 0
	for range 10 {
		ws, status := dial("198.51.100.1")
		switch status {
		case http.StatusSwitchingProtocols:
			_ = ws.CloseNow()
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Error(status)
		}
	}
	if refused < 5 {
		t.Errorf("%d of 10 at once refused", refused)
	}
}
