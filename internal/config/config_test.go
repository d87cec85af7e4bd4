package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/rule"
	"ringdown/internal/schema"
	"ringdown/internal/session"
	"ringdown/internal/store"
)

func mustLoad(t *testing.T, file string, o LoadOptions) *Config {
	t.Helper()
	if o.Env == nil {
		o.Env = testEnv
	}
	c, err := Load(file, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestFull: every key of the grammar stands in full.yaml and arrives.
func TestFull(t *testing.T) {
	c := mustLoad(t, "testdata/good/full.yaml", LoadOptions{})
	if p := c.Calls["price"]; p == nil || p.About != "What something costs" || p.Data.Validate([]byte(`{}`), nil) == nil || p.Result.Validate([]byte(`{"price":1}`), nil) != nil {
		t.Errorf("calls are %+v", c.Calls)
	}
	if !slices.Equal(c.Listen, []string{"127.0.0.1:9000"}) || !slices.Equal(c.Paths, []string{"/socket", "/v1/ws/chat"}) || len(c.Origins) != 3 ||
		!c.Anonymous || c.Dev || c.Engine.Engine != "std" || c.Documents != DocumentsPublic || c.Metrics != "127.0.0.1:9090" {
		t.Errorf("%+v", c)
	}
	dir, err := filepath.Abs("testdata/good/data")
	if s := c.Store; err != nil || s.Dir != dir || s.Fsync != store.Interval || s.Interval != 50*time.Millisecond {
		t.Errorf("%+v", s)
	}
	ws := c.WebSocket
	if !ws.Compression || ws.PingInterval != 30*time.Second || ws.PongTimeout != time.Minute || !slices.Equal(ws.Paths, c.Paths) ||
		reflect.ValueOf(ws.Origins).IsZero() {
		t.Errorf("%+v", ws)
	}
	if c.SSE.Heartbeat != 11*time.Second || !slices.Equal(c.SSE.Paths, []string{"/events"}) || !slices.Equal(c.Poll.Paths, []string{"/v1/poll/again"}) {
		t.Errorf("%+v %+v", c.SSE, c.Poll)
	}
	if want := (Limits{Session: session.Limits{
		MaxMessage: 128 << 10, MaxMessageUnauthenticated: 8192, MessagesPerSecond: 60, MessagesBurst: 120, UnauthenticatedPerSecond: 6,
		Presences: 7, PresenceData: 2 << 10, RuleSteps: 600_000, SchemaSteps: 500_000,
		Subscriptions: 1000, PendingRequests: 33, BadMessages: 11, Connections: 50_000, ChannelsPerNode: 2000, Recoveries: 65, HandshakesPerSecond: 700, AuthTimeout: 7500 * time.Millisecond,
	},
		User:    UserLimits{Connections: 20, MessagesPerSecond: 80, MessagesBurst: 160, RequestsPerSecond: 30, RequestsBurst: 60},
		Address: AddressLimits{Connections: 500, HandshakesPerSecond: 50, HandshakesBurst: 100, RequestsPerSecond: 31, RequestsBurst: 62},
		Key:     KeyLimits{MessagesPerSecond: 5000, MessagesBurst: 9000, RequestsPerSecond: 1000, RequestsBurst: 2000},
		Channel: ChannelLimits{Subscribers: 100_000, Members: 900, MessagesPerSecond: 70, MessagesBurst: 71},
	}); c.Limits != want {
		t.Errorf("%+v, want %+v", c.Limits, want)
	}
	if f := c.Front; f.Sockets != 60_000 || f.HTTP != 3000 || f.Idle != 90*time.Second || !f.Trusted.Contains(netip.MustParseAddr("10.1.1.1")) {
		t.Errorf("%+v", f)
	}
	if c.PresenceGrace != 20*time.Second {
		t.Errorf("a grace of %v", c.PresenceGrace)
	}
	r := c.Redis
	if r == nil || !slices.Equal(r.Addresses, []string{"10.0.0.1:26379", "[::1]:26379"}) || r.Cluster || r.Username != "ringdown" || r.Password != "a-secret-of-at-least-thirty-two-bytes!" ||
		r.TLS == nil || r.TLS.RootCAs == nil || r.Prefix != "shop:" || r.Timeout != 2*time.Second || r.Master != "main" || r.SentinelUsername != "s" || r.SentinelPassword != "a-key-of-at-least-sixteen-bytes" {
		t.Errorf("%+v", r)
	}
	if len(c.Auth.JWT) != 3 || !slices.Equal(c.Auth.Keys, []string{"a-key-of-at-least-sixteen-bytes", "a-key-from-a-file-0123456789", "in-the-clear-in-the-clear"}) {
		t.Fatalf("%+v", c.Auth)
	}
	j := c.Auth.JWT[0]
	if string(j.Secret) != "a-secret-of-at-least-thirty-two-bytes!" || j.Algorithm != "HS256" || j.Audience != "shop" || j.Issuer != "https://id.example" ||
		j.UserClaim != "uid" || j.Leeway != 10*time.Second || j.KeyID != "k1" {
		t.Errorf("%+v", j)
	}
	if !strings.HasPrefix(string(c.Auth.JWT[1].PublicKey), "-----BEGIN PUBLIC KEY") || c.Auth.JWT[2].JWKS != "https://id.example/keys" {
		t.Errorf("%+v", c.Auth.JWT[1:])
	}

	d, ok := c.Table().Match("all:x:7")
	if !ok || d.Params("all:x:7")["kind"] != "x" {
		t.Fatal("no match")
	}
	if d.About != "Everything at once" || !d.Presence || !d.ShowFrom || d.Line == 0 ||
		*d.History != (channel.History{Messages: 10, Bytes: 1 << 20, For: 7 * 24 * time.Hour}) ||
		*d.State != (channel.State{For: 90 * time.Minute}) || d.Buffer != (channel.Buffer{Messages: 64, Bytes: 64 << 10}) {
		t.Errorf("%+v", d)
	}
	full := d.Events["full"]
	if typing := d.Events["typing"]; typing == nil || !typing.Ephemeral || typing.Schema.Validate([]byte(`{"active":true}`), nil) != nil || typing.Schema.Validate([]byte(`{"active":1}`), nil) == nil {
		t.Errorf("typing is %+v", typing)
	}
	if len(d.Events) != 4 || d.Events["plain"] == nil || d.Events["nothing"] == nil || full.About != "With everything" || !full.Ephemeral || full.Name != "full" {
		t.Errorf("%+v", d.Events)
	}
	if want := `{"type":"object","properties":{"n":{"maximum":16,"multipleOf":1000.5},"yes":{"enum":["yes",true,null,1.50]}}}`; string(full.SchemaJSON) != want {
		t.Errorf("%s, want %s", full.SchemaJSON, want)
	}
	if err := full.Schema.Validate([]byte(`{"n":17}`), nil); err == nil {
		t.Error("the schema does not hold")
	}
	for op, want := range map[channel.Op]string{
		channel.OpSubscribe: "signed_in", channel.OpPublish: "signed_in && params.kind == 'x'", channel.OpPresence: `!(user == "") && params.id != ""`, channel.OpHistory: "none",
	} {
		if got := d.Rule(op).String(); got != want {
			t.Errorf("%s: %s, want %s", op, got, want)
		}
	}
	for o, text := range map[*object]string{} {
		t.Log(o, text)
	}
}

// TestByteOrderMark: a file from an editor of Windows, with its line ends too.
func TestByteOrderMark(t *testing.T) {
	c, err := Parse("conf.yaml", []byte("\ufeffchannels:\r\n  - name: a\r\n    allow: {subscribe: anyone}\r\n"), LoadOptions{})
	if err != nil || len(c.Channels) != 1 {
		t.Errorf("%v, %v", c, err)
	}
}

// TestNoGrace: 0s is not the default but none at all.
// TestDefaultStore: a file whose channels keep messages has a place for them; what
// is no file, keeps none, has a broker or says so has none.
func TestDefaultStore(t *testing.T) {
	const channels = "auth: {anonymous: true}\nchannels:\n  - name: orders\n    allow: {subscribe: anyone}\n"
	const kept = channels + "    history: {messages: 10}\n"
	dir := t.TempDir()
	for _, c := range []struct{ text, want string }{
		{channels, ""},
		{kept, filepath.Join(dir, "ringdown-data")},
		{channels + "    state: {for: 1h}\n", filepath.Join(dir, "ringdown-data")},
		{kept + "store: {fsync: never}\n", filepath.Join(dir, "ringdown-data")},
		{kept + "store: {memory: true}\n", ""},
		{kept + "broker: {redis: {addresses: \"127.0.0.1:6379\"}}\n", ""},
	} {
		path := filepath.Join(dir, "ringdown.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if dir := cmp.Or(got.Store, &store.Options{}).Dir; dir != c.want {
			t.Errorf("%s\nis kept in %q, want %q", c.text, dir, c.want)
		}
	}
	if got, err := Parse("ringdown.yaml", []byte(kept), LoadOptions{}); err != nil || got.Store != nil {
		t.Errorf("what is no file: %v, kept in %v", err, got.Store)
	}
	if _, err := Parse("ringdown.yaml", []byte(kept+"store: {memory: true, dir: data}\n"), LoadOptions{}); err == nil {
		t.Error("in memory and in a directory")
	}
}

func TestNoGrace(t *testing.T) {
	for text, want := range map[string]time.Duration{"presence: {grace: 0s}": -1, "presence: {}": 0, "presence:": 0, "listen: :1": 0} {
		c, err := Parse("conf.yaml", []byte(text+"\nchannels: [{name: a, allow: {subscribe: anyone}}]\n"), LoadOptions{})
		if err != nil || c.PresenceGrace != want {
			t.Errorf("%s: %v, %v, want %v", text, c, err, want)
		}
	}
}

// TestFullIsFull: full.yaml has every key of the grammar, so that none is known
// and never read.
func TestFullIsFull(t *testing.T) {
	src, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root := parse(src, &report{})
	used := make(map[*key]bool)
	var walk func(n *node, o *object)
	walk = func(n *node, o *object) {
		for _, item := range n.items {
			walk(item, o)
		}
		for _, p := range n.pairs {
			k := o.key(p.key.text)
			if k == nil {
				continue
			}
			used[k] = true
			switch {
			case k.shape == aMappingByName:
				for _, named := range p.value.pairs {
					walk(named.value, k.of)
				}
			case k.of != nil:
				walk(p.value, k.of)
			}
		}
	}
	walk(root, fileKeys)
	eachKey(fileKeys, "", func(path string, k *key) {
		if !used[k] {
			t.Errorf("full.yaml does not have %s", path)
		}
	})
}

// eachKey visits every key with its path, such as auth.jwt.secret.
func eachKey(o *object, prefix string, visit func(path string, k *key)) {
	for i := range o.keys {
		k := &o.keys[i]
		visit(prefix+k.name, k)
		if k.of != nil {
			eachKey(k.of, prefix+k.name+".", visit)
		}
	}
}

// elsewhere are the limits whose key is not their name in the session.
var elsewhere = map[string]string{
	"connections": "node.connections", "handshakes_per_second": "node.handshakes_per_second", "recoveries": "node.recoveries",
	"channels_per_node": "node.channels", "pending_requests": "connection.pending_calls",
	"unauthenticated_per_second": "connection.messages_per_second_unauthenticated",
}

// TestLimitsAreThoseOfTheSession: every limit has a key with the session's
// default, and every key of a connection and of the node is a limit, of the
// sessions or of the sockets.
func TestLimitsAreThoseOfTheSession(t *testing.T) {
	keys := make(map[string]*key)
	eachKey(limitKeys, "", func(path string, k *key) { keys[path] = k })
	defaults := reflect.ValueOf(session.Limits{}.WithDefaults())
	for i := range defaults.NumField() {
		name := snake(defaults.Type().Field(i).Name)
		path := cmp.Or(elsewhere[name], "connection."+name)
		k := keys[path]
		if k == nil {
			t.Errorf("there is no key limits.%s", path)
			continue
		}
		var got int64
		if d, err := ParseDuration(k.preset); k.shape == aDuration && err == nil {
			got = int64(d)
		} else if n, err := parseSize(k.preset); err == nil {
			got = n
		}
		if want := defaults.Field(i).Int(); got != want {
			t.Errorf("limits.%s is told to be %s by default, and is %d", path, k.preset, want)
		}
	}
	const ofSockets = 3 // sockets, http_connections, unread_answers
	if n := len(nodeLimitKeys.keys) + len(connectionLimitKeys.keys); n != defaults.NumField()+ofSockets {
		t.Errorf("%d keys for %d limits", n, defaults.NumField())
	}
}

// TestFormerLimits: a limit that is written where it stood before is refused
// with the place where it stands now.
func TestFormerLimits(t *testing.T) {
	for name, now := range map[string]string{
		"max_message": "limits.connection.max_message", "subscriptions": "limits.connection.subscriptions", "connections": "limits.node.connections",
		"channels_per_node": "limits.node.channels", "pending_requests": "limits.connection.pending_calls", "handshakes_per_second": "limits.node.handshakes_per_second",
		"unauthenticated_per_second": "limits.connection.messages_per_second_unauthenticated", "members": "limits.channel.members", "requests_burst": "limits.user.requests_burst",
	} {
		_, err := Parse("conf.yaml", []byte("limits: {"+name+": 10}\nchannels: [{name: a, allow: {subscribe: anyone}}]\n"), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), "it is "+now+";") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLaterLimits: a limit that has its place and is not counted yet says so.
func TestLaterLimits(t *testing.T) {
	eachKey(limitKeys, "limits.", func(path string, k *key) {
		if !k.later {
			return
		}
		parts := strings.Split(path, ".")
		c, err := Parse("conf.yaml", []byte("limits: {"+parts[1]+": {"+parts[2]+": 7}}\nauth: {anonymous: true}\nchannels: [{name: a, allow: {subscribe: anyone}}]\n"), LoadOptions{})
		if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], path+" is not counted in this version") {
			t.Errorf("%s: %v, %v", path, c, err)
		}
	})
}

func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

func TestWarnings(t *testing.T) {
	src := `
origins: "*"
auth:
  jwt: {secret: a-secret-of-at-least-thirty-two-bytes!}
  keys: [a-key-of-at-least-sixteen-bytes]
limits: {connection: {messages_per_second: 200, messages_burst: 10}}
channels:
  - name: nobody
  - {name: a, presence: true, allow: {subscribe: anyone}}
  - {name: b, allow: {subscribe: anyone, presence: anyone}}
`
	c, err := Parse("conf.yaml", []byte(src), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"conf.yaml:2:10: origins is *", "conf.yaml:4:17: secret stands here in the clear; write env:NAME", "conf.yaml:5:10: this key stands here in the clear",
		"conf.yaml:6:65: messages_burst is less", "conf.yaml:8:11: the channel nobody has no allow", "conf.yaml:9:25: presence is on for a", "conf.yaml:10:52: allow says who may use presence",
	}
	if len(c.Warnings) != len(want) {
		t.Fatalf("%q", c.Warnings)
	}
	for i, w := range want {
		if !strings.HasPrefix(c.Warnings[i], w) {
			t.Errorf("%q, want %q", c.Warnings[i], w)
		}
		if strings.Contains(c.Warnings[i], "thirty") || strings.Contains(c.Warnings[i], "sixteen") {
			t.Errorf("a secret stands in %q", c.Warnings[i])
		}
	}
	for _, src := range []string{"", "auth: {keys: [env:KEY]}\n"} {
		c, err := Parse("conf.yaml", []byte(src+"channels: [{name: a, allow: {subscribe: anyone}}]"), LoadOptions{Env: testEnv})
		if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "no client can connect") {
			t.Errorf("%q: %v, %+v", src, err, c)
		}
	}
}

func TestDev(t *testing.T) {
	c, err := Parse("--dev", nil, LoadOptions{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Dev || !c.Anonymous || len(c.Listen) != 0 || len(c.Warnings) != 0 || len(c.Files) != 0 {
		t.Errorf("%+v", c)
	}
	d, ok := c.Table().Match("any:thing/at:all")
	if !ok || d.History == nil || d.History.Messages != 100 || d.History.For != 10*time.Minute || !d.Presence {
		t.Fatalf("%+v", d)
	}
	if _, ok := d.Event("whatever"); !ok {
		t.Error("an event is refused")
	}
	for _, op := range []channel.Op{channel.OpSubscribe, channel.OpPublish, channel.OpPresence, channel.OpHistory} {
		if ok, err := d.Rule(op).Allow(&channel.Request{Op: op}); !ok || err != nil {
			t.Errorf("%s: %v, %v", op, ok, err)
		}
	}

	// With a file, what it declares holds, and the rest is open.
	c, err = Parse("conf.yaml", []byte("listen: '[::1]:0'\nchannels: [{name: orders, allow: {subscribe: none}}]"), LoadOptions{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := c.Table().Match("orders"); d.Allow.Subscribe != channel.None {
		t.Errorf("%+v", d)
	}
	if d, _ := c.Table().Match("other"); d == nil || d.Name != channel.CatchAll {
		t.Errorf("%+v", d)
	}
	c, err = Parse("conf.yaml", []byte("channels: [{name: '*', allow: {subscribe: none}}]"), LoadOptions{Dev: true})
	if err != nil || len(c.Channels) != 1 {
		t.Errorf("a catch-all of one's own: %v", err)
	}
	for _, listen := range []string{":8000", "0.0.0.0:8000", "shop.example:8000", "192.168.1.1:1"} {
		_, err := Parse("conf.yaml", []byte("listen: "+listen+"\n"), LoadOptions{Dev: true})
		if err == nil || !strings.Contains(err.Error(), "this machine only") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestFiles(t *testing.T) {
	c := mustLoad(t, "testdata/good/shop.yaml", LoadOptions{})
	var names []string
	for _, f := range c.Files {
		names = append(names, filepath.Base(f))
	}
	slices.Sort(names)
	if want := []string{"common.json", "order.json", "position.json", "shop.yaml"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if _, err := Load("testdata/none.yaml", LoadOptions{}); err == nil || err.Error() != "testdata/none.yaml: there is no such file" {
		t.Error(err)
	}
	for cause, want := range map[error]string{fs.ErrPermission: "may not be read", errors.New("the disk is on fire"): "cannot be read: the disk is on fire"} {
		_, err := Load("x.yaml", LoadOptions{ReadFile: func(path string) ([]byte, error) { return nil, &fs.PathError{Op: "open", Path: path, Err: cause} }})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAnchors(t *testing.T) {
	c := mustLoad(t, "testdata/good/anchors.yaml", LoadOptions{})
	a, _ := c.Table().Match("a")
	b, _ := c.Table().Match("b")
	last, _ := c.Table().Match("c")
	if b.History.Messages != 10 || len(b.Events) != 2 || b.Events["two"].Schema == nil || b.Allow.Publish != channel.Anyone || last.History.Messages != 10 {
		t.Errorf("%+v %+v", b, last)
	}
	if last.Allow.Subscribe != channel.Anyone || last.Allow.Publish != channel.None || a.Allow.Publish != channel.Anyone {
		t.Errorf("%+v", last.Allow)
	}
}

// TestBombs: files that are small and would become large or deep are refused.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("x0: &x0 {type: object, properties: {a: true, b: true}}\n")
	for i := range 30 {
		n, prev := fmt.Sprint("x", i+1), fmt.Sprint("x", i)
		laughs.WriteString(n + ": &" + n + " {allOf: [*" + prev + ", *" + prev + "]}\n")
	}
	laughs.WriteString("channels: [{name: a, allow: {subscribe: none}, events: {e: {schema: *x30}}}]")
	for name, c := range map[string]struct{ src, want string }{
		"laughs":  {laughs.String(), "once its aliases are written out"},
		"nesting": {"a: " + strings.Repeat("[", 500), "brackets are open at once"},
		"line":    {"a: " + strings.Repeat("x", maxLine), "the line has"},
		"file":    {strings.Repeat("#\n", maxSource), "the file has"},
		"cycle":   {"a: &a [*a]", `no anchor "a"`},
		"bytes":   {"a: \xff\xfe", "not UTF-8"},
	} {
		start := time.Now()
		_, err := Parse("conf.yaml", []byte(c.src), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.2000v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestManyProblems(t *testing.T) {
	_, err := Parse("conf.yaml", []byte(strings.Repeat("- x\n", 1)+strings.Repeat(" \n", 3)), LoadOptions{})
	if err == nil {
		t.Error("no error")
	}
	var src strings.Builder
	for i := range 80 {
		src.WriteString("key" + strings.Repeat("x", i) + ": 1\n")
	}
	_, err = Parse("conf.yaml", []byte(src.String()), LoadOptions{})
	var all *Errors
	if !errors.As(err, &all) || len(all.List) != maxProblems+1 || !strings.HasSuffix(err.Error(), "conf.yaml: and 31 more problems") {
		t.Errorf("%v", err)
	}
}

// TestOneRun: problems of every part are told in one run, by line.
func TestOneRun(t *testing.T) {
	_, err := Parse("conf.yaml", []byte(`
listen: nowhere
auth: {jwt: {secret: env:NOPE}}
channels:
  - {name: a, allow: {subscribe: usr}, events: {e: {schema: {type: x}}}}
  - {name: 'b{', history: {}}
limits: {connection: {subscriptions: x}}
`), LoadOptions{Env: testEnv})
	var all *Errors
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	var lines []int
	for _, p := range all.List {
		lines = append(lines, p.Line)
	}
	if want := []int{2, 3, 5, 5, 6, 6, 7}; !slices.Equal(lines, want) {
		t.Errorf("%v, want %v\n%v", lines, want, err)
	}
}

func TestJSONSchema(t *testing.T) {
	v, err := schema.Compile("config.json", JSONSchema(), nil)
	if err != nil {
		t.Fatal(err)
	}
	asJSON := func(file string) []byte {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := &report{}
		root := parse(src, r)
		if root == nil {
			return nil
		}
		out, failed := appendJSON(nil, root)
		if failed != nil {
			return nil
		}
		return out
	}
	good, _ := filepath.Glob("testdata/good/*.yaml")
	for _, file := range good {
		if err := v.Validate(asJSON(file), nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, name := range []string{"unknown-key", "unknown-key-deep", "store", "wrong-types", "numbers", "events-empty", "history-unbounded", "channel-no-name", "durations"} {
		if err := v.Validate(asJSON("testdata/bad/"+name+".yaml"), nil); err == nil {
			t.Errorf("%s is taken by the schema for editors", name)
		}
	}
	var doc map[string]any
	first := JSONSchema()
	if err := json.Unmarshal(JSONSchema(), &doc); err != nil || !bytes.Equal(JSONSchema(), first) {
		t.Error(err)
	}
}

func TestParamsOfRulesAreThoseOfNames(t *testing.T) {
	if got := patternParams("a:{b}:c{d}"); !slices.Equal(got, []string{"b", "d"}) {
		t.Errorf("%q", got)
	}
	r, err := rule.Compile("params.b == 'x'")
	if err != nil || len(rule.Params(r)) != 1 {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	none := func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("conf.yaml", src, LoadOptions{Env: testEnv, ReadFile: none})
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err == nil {
			for _, w := range c.Warnings {
				if strings.ContainsAny(w, "\n\r") {
					t.Errorf("a warning of several lines: %q", w)
				}
			}
			return
		}
		all, ok := err.(*Errors)
		if !ok || len(all.List) == 0 || err.Error() == "" {
			t.Fatalf("%T: %v", err, err)
		}
		for i, p := range all.List {
			if p.What == "" || i > 0 && p.Line > 0 && p.Line < all.List[i-1].Line {
				t.Errorf("%+v", p)
			}
		}
	})
}
