package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Target is the server to be measured.
type Target struct {
	// Name is what results call it; optional.
	Name string
	// Addr is host:port, the host being a loopback address or localhost.
	Addr string
	// Dialect is one of Dialects; "ringdown" when empty.
	Dialect string
	// Path is where to upgrade; the dialect's own when empty.
	Path string
	// Token is presented as Authorization: Bearer when not empty.
	Token string
	// PID is the server's process, from which CPU and memory are read. 0 leaves
	// them out of the results. Only Linux can tell.
	PID int
	// Settle is the path of a GET that has the server collect its garbage and
	// give free memory back before its size is read, and answer 2xx, optionally
	// with {"heap_objects":n}. Without it memory is read as it is.
	Settle string

	plain bool // the portable client also where there is a better one; for tests
}

func (t Target) dialectName() string {
	if t.Dialect == "" {
		return "ringdown"
	}
	return t.Dialect
}

func (t Target) addrPort() (netip.AddrPort, error) {
	s := t.Addr
	if port, ok := strings.CutPrefix(s, "localhost:"); ok {
		s = "127.0.0.1:" + port
	}
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return addr, fmt.Errorf("load: address %q: %w", t.Addr, err)
	}
	if !addr.Addr().IsLoopback() {
		return addr, fmt.Errorf("load: %s is not on this machine: load goes to loopback addresses only", t.Addr)
	}
	return addr, nil
}

// The key of RFC 6455 §1.3 and the answer to it. One key for all connections lets
// the client check every answer without computing a hash.
const (
	requestKey = "dGhlIHNhbXBsZSBub25jZQ=="
	acceptKey  = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

func (t Target) upgradeRequest(d dialect) []byte {
	path := t.Path
	if path == "" {
		path = d.path()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, t.Addr)
	b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
	fmt.Fprintf(&b, "Sec-WebSocket-Key: %s\r\n", requestKey)
	if t.Token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", t.Token)
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// settled is what a server says about itself after it has settled.
type settled struct {
	HeapObjects *float64 `json:"heap_objects"`
}

// settle asks the server to settle, if it can.
func (t Target) settle(ctx context.Context) (settled, error) {
	if t.Settle == "" {
		return settled{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Addr+t.Settle, nil)
	if err != nil {
		return settled{}, fmt.Errorf("load: settle: %w", err)
	}
	req.Close = true // no idle connection shall be left with the server
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return settled{}, fmt.Errorf("load: settle: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return settled{}, fmt.Errorf("load: settle: %s answers %s", t.Settle, resp.Status)
	}
	var s settled
	_ = json.NewDecoder(resp.Body).Decode(&s) // a server need not say anything
	return s, nil
}
