package demo

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"ringdown"
	"ringdown/examples/demo/stage"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

const testKey = "demo-test-key-01234"

// running is a demo that a test talks to.
type running struct {
	t    *testing.T
	base string
	said *notice
	stop func() error
}

// notice waits for the introduction, which says where the demo is.
type notice struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready chan struct{}
	once  sync.Once
}

func (n *notice) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text.Write(p)
	n.once.Do(func() { close(n.ready) })
	return len(p), nil
}

func (n *notice) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

func run(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{t: t, said: &notice{ready: make(chan struct{})}}
	o.Trucks = cmp.Or(o.Trucks, 5)
	o.Listen, o.Out, o.Logger = "127.0.0.1:0", r.said, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	var once sync.Once
	var result error
	r.stop = func() error {
		once.Do(func() {
			cancel()
			http.DefaultClient.CloseIdleConnections()
			result = <-ended
		})
		return result
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-r.said.ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("the demo ended: %v", err)
	}
	r.base = regexp.MustCompile(`http://[0-9.:]+`).FindString(r.said.String())
	return r
}

// TestGoodbye: who ends the demo is told that it ends, and that it has ended.
func TestGoodbye(t *testing.T) {
	r := run(t, Options{})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	said := r.said.String()
	if down, bye := strings.Index(said, "Going down"), strings.Index(said, "Goodbye."); down < 0 || bye < down {
		t.Errorf("it said %s", said)
	}
}

// TestGuards: the demo's address is guarded as that of a server: requests must come
// to their end soon, and be no larger than they need to be.
func TestGuards(t *testing.T) {
	r := run(t, Options{})
	open := func(text string) net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	half, began := open("GET / HTTP/1.1\r\nHost: a\r\n"), time.Now()
	large := open("GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("x", 24<<10) + "\r\n\r\n")
	_ = large.SetReadDeadline(time.Now().Add(5 * time.Second))
	if answer, _ := bufio.NewReader(large).ReadString('\n'); !strings.Contains(answer, "431") {
		t.Errorf("a header of 24 KiB: %q", answer)
	}
	_ = half.SetReadDeadline(began.Add(9 * time.Second))
	if _, err := io.Copy(io.Discard, half); err != nil {
		t.Errorf("half a header may last for %v: %v", time.Since(began), err)
	}
}

// TestPhone: on all addresses, one that a phone can reach is told, and as a code.
func TestPhone(t *testing.T) {
	own := ownAddress()
	if own == "" {
		t.Skip("this machine has no address that others can reach")
	}
	said := &notice{ready: make(chan struct{})}
	o := Options{Out: said}
	o.introduce(&net.TCPAddr{IP: net.IPv6unspecified, Port: 8000}, false)
	if text := said.String(); !strings.Contains(text, "http://"+own+":8000\n") || !strings.Contains(text, code("http://"+own+":8000")) || !strings.Contains(text, "http://localhost:8000/shop") {
		t.Errorf("it said %s", text)
	}
	lines := strings.Split(strings.TrimRight(code("http://192.168.1.20:8000"), "\n"), "\n")
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n != 4+25+2*2 {
			t.Errorf("a line of the code has %d characters: %s", n, line)
		}
	}
	if len(lines) != (25+2*2+1)/2 {
		t.Errorf("the code has %d lines", len(lines))
	}
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	answer, err := http.Get(r.base + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func (r *running) token(user string) string {
	r.t.Helper()
	var reply struct{ Token string }
	_, body := r.get("/demo/token?user=" + user)
	if err := json.Unmarshal([]byte(body), &reply); err != nil || reply.Token == "" {
		r.t.Fatalf("no token: %s (%v)", body, err)
	}
	return reply.Token
}

// socket is a client that speaks the protocol by hand.
type socket struct {
	t  *testing.T
	ws *websocket.Conn
}

type message struct {
	Type, Channel, Key string
	ID                 int
	Data               json.RawMessage
}

func (r *running) dial(user string) *socket {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, strings.Replace(r.base, "http", "ws", 1)+"/v1/ws/chat?token="+r.token(user), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { ws.CloseNow() })
	return &socket{r.t, ws}
}

func (s *socket) send(text string) {
	s.t.Helper()
	if err := s.ws.Write(s.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// await reads until a message of a type.
func (s *socket) await(kind string) (m message) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	for {
		_, text, err := s.ws.Read(ctx)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", kind, err)
		}
		m = message{}
		if err := json.Unmarshal(text, &m); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
		if m.Type == kind {
			return m
		}
		if m.Type == "error" {
			s.t.Fatalf("waiting for %s: %s", kind, text)
		}
	}
}

func (s *socket) subscribe(channel string) {
	s.t.Helper()
	s.send(`{"type":"subscribe","channel":"` + channel + `","id":1}`)
	s.await("subscribed")
}

func TestOrderOverTheSocket(t *testing.T) {
	r := run(t, Options{DataDir: t.TempDir(), APIKey: testKey})
	watcher, ann := r.dial("ben"), r.dial("ann")
	watcher.subscribe("orders")
	ann.send(`{"type":"order","id":7,"data":{"lines":[{"product":"sun-lamp","quantity":2}]}}`)
	var placed, told struct {
		ID       int
		Customer string
		Total    int
	}
	ack := ann.await("ack")
	if err := json.Unmarshal(ack.Data, &placed); err != nil || ack.ID != 7 || placed.Customer != "ann" || placed.Total != 6980 {
		t.Errorf("ann got %s (%v)", ack.Data, err)
	}
	if err := json.Unmarshal(watcher.await("order-created").Data, &told); err != nil || told != placed {
		t.Errorf("ben was told of %+v (%v), want %+v", told, err, placed)
	}

	ann.send(`{"type":"order","id":8,"data":{"lines":[{"product":"sun-lamp","quantity":7}]}}`)
	if m := ann.await("error"); !strings.Contains(string(m.Data), `"conflict"`) || !strings.Contains(string(m.Data), "only 6 of Basking lamp") {
		t.Errorf("too many lamps: %s", m.Data)
	}
}

func TestNotificationsAreForOneUser(t *testing.T) {
	r := run(t, Options{DataDir: t.TempDir(), APIKey: testKey})
	ben := r.dial("ben")
	ben.send(`{"type":"subscribe","channel":"user:ann:notifications","id":1}`)
	if m := ben.await("error"); !strings.Contains(string(m.Data), `"forbidden"`) {
		t.Errorf("ben asked for ann's notifications: %s", m.Data)
	}
	ann := r.dial("ann")
	ann.subscribe("user:ann:notifications")
	request, err := http.NewRequest("POST", r.base+"/shop/orders", strings.NewReader(`{"customer":"ann","lines":[{"product":"sun-lamp","quantity":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testKey)
	for _, path := range []string{"/shop/orders", "/shop/orders/1/ship"} {
		request.URL.Path = path
		answer, err := http.DefaultClient.Do(request.Clone(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		request.Body, request.ContentLength = http.NoBody, 0
	}
	if m := ann.await("notification"); !strings.Contains(string(m.Data), "on its way") {
		t.Errorf("ann heard %s", m.Data)
	}
}

func TestInventoryIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := run(t, Options{DataDir: dir, APIKey: testKey})
	token := first.token("ann")
	early := first.dial("ann")
	early.subscribe("inventory")
	// The last of the shelf is in the snapshot, or comes behind it.
	for m := early.await("state"); !strings.Contains(string(m.Data), `"sun-lamp"`); {
		m = early.await("inventory-changed")
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := run(t, Options{DataDir: dir, APIKey: testKey})
	ws, _, err := websocket.Dial(t.Context(), strings.Replace(second.base, "http", "ws", 1)+"/v1/ws?token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	s := &socket{t, ws}
	s.await("welcome") // the token of before the restart still holds
	s.subscribe("inventory")
	if m := s.await("state"); !strings.Contains(string(m.Data), `"key":"sun-lamp"`) {
		t.Errorf("the snapshot is %s", m.Data)
	}
}

// TestChatIsThereAfterARestart: what was said is kept in the data directory.
func TestChatIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := run(t, Options{DataDir: dir, APIKey: testKey})
	ann := first.dial("ann")
	ann.send(`{"type":"message","channel":"chat:lobby","id":1,"data":{"text":"still here?"}}`)
	ann.await("ack")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := run(t, Options{DataDir: dir, APIKey: testKey})
	ben := second.dial("ben")
	ben.send(`{"type":"subscribe","channel":"chat:lobby","id":1,"data":{"last":5}}`)
	if m := ben.await("message"); !strings.Contains(string(m.Data), "still here?") {
		t.Errorf("the room kept %s", m.Data)
	}
}

// Every truck is in the snapshot of some region, and reports there again.
func TestTrucksReport(t *testing.T) {
	r := run(t, Options{DataDir: t.TempDir(), APIKey: testKey, Trucks: 20})
	ann := r.dial("ann")
	regions := []string{"westmark", "northmoor", "lakeland", "ostmark", "eastcape", "southfold"}
	for _, region := range regions {
		ann.send(`{"type":"subscribe","channel":"trucks:` + region + `"}`)
	}
	for seen := map[string]int{}; len(seen) < 20; {
		m := ann.await("position")
		if string(m.Data) == "null" {
			continue // it has left the region
		}
		if seen[m.Key]++; seen[m.Key] == 5 {
			t.Fatalf("%s reported five times and only %d trucks at all", m.Key, len(seen))
		}
		if !strings.HasPrefix(m.Channel, "trucks:") || !slices.Contains(regions, strings.TrimPrefix(m.Channel, "trucks:")) {
			t.Errorf("a report on %s", m.Channel)
		}
	}
	ann.send(`{"type":"position","channel":"trucks:lakeland","key":"truck-001","id":1,"data":null}`)
	for {
		_, text, err := ann.ws.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"error"`) {
			if !strings.Contains(string(text), `"forbidden"`) {
				t.Errorf("a customer moved a truck: %s", text)
			}
			return
		}
	}
}

func TestChatMessagesAreChecked(t *testing.T) {
	r := run(t, Options{DataDir: t.TempDir(), APIKey: testKey})
	ann := r.dial("ann")
	ann.subscribe("chat:lobby")
	for _, bad := range []string{
		`{}`, `{"text":7}`, `{"text":"` + strings.Repeat("x", 2001) + `"}`, `{"text":"x","html":"<b>"}`,
		`{"text":"x","image":{"url":"https://elsewhere.example/x.png"}}`, `{"text":"x","image":{"url":"/chat/uploads/../../x.png"}}`,
	} {
		ann.send(`{"type":"message","channel":"chat:lobby","id":1,"data":` + bad + `}`)
		if m := ann.await("error"); !strings.Contains(string(m.Data), `"invalid_data"`) {
			t.Errorf("%.60s: %s", bad, m.Data)
		}
	}
	ann.send(`{"type":"message","channel":"chat:lobby","id":2,"data":{"text":"hello"}}`)
	ann.await("message")
}

func TestPagesAndFiles(t *testing.T) {
	r := run(t, Options{DataDir: t.TempDir(), APIKey: testKey})
	for path, want := range map[string]string{
		"/": "Pick up.", "/shop/": "Small comforts", "/shop/staff": "At the counter", "/chat/": "Rooms", "/trucks/": "trucks", "/trucks/map.json": `"Maren"`, "/trucks/picture.svg": "<svg", "/demo/plain.html": "No SDK",
		"/demo/ringdown.yaml": "name: orders", "/demo/assets/page.js": "Ringdown", "/demo/about/shop": "<h1", "/demo/assets/apps.js": "shop", "/demo/plain.js": "new WebSocket(", "/shop/products": "bell-collar",
		"/livez": "", "/readyz": "",
	} {
		if status, body := r.get(path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s answered %d %.200s", path, status, body)
		}
	}
	if status, _ := r.get("/demo/nothing"); status != 404 {
		t.Errorf("a page that is not there answered %d", status)
	}
}

func TestIntroduction(t *testing.T) {
	r := run(t, Options{})
	said := r.said.String()
	key := regexp.MustCompile(`[0-9a-f]{32}`).FindString(said)
	if key == "" || !strings.Contains(said, "/shop/staff") {
		t.Fatalf("it said %s", said)
	}
	request, err := http.NewRequest("GET", r.base+"/shop/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("the printed key was answered %d", answer.StatusCode)
	}
	dir := regexp.MustCompile(`Data in (\S+)\.`).FindStringSubmatch(said)[1]
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the temporary data in %s is still there: %v", dir, err)
	}
}

func TestRunSaysWhyItCannot(t *testing.T) {
	r := run(t, Options{DataDir: t.TempDir(), APIKey: testKey})
	o := Options{Listen: strings.TrimPrefix(r.base, "http://"), DataDir: t.TempDir(), APIKey: testKey, Out: io.Discard, Logger: slog.New(slog.DiscardHandler)}
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a taken port: %v", err)
	}
}

// webs are the folders of all apps' pages.
func webs(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../*/web")
	if err != nil || len(found) < len(examples) {
		t.Fatalf("%v: %v", found, err)
	}
	return found
}

// TestConfigurations: each app's own file is whole, so that it can be copied.
func TestConfigurations(t *testing.T) {
	for _, e := range examples {
		if e.config == nil {
			continue
		}
		dir := t.TempDir()
		gate, err := stage.OpenGate(dir, testKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ringdown.New(ringdown.Options{Config: e.config, Env: gate.Env, StoreDir: dir, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
	}
}

// The policy of the pages forbids inline scripts, styles and handlers; a page
// that has one would be broken in the browser only.
func TestPagesHaveNothingInline(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|<style|\sstyle=|\son[a-z]+=`)
	for _, dir := range append([]string{"web", "stage/assets"}, webs(t)...) {
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".html") {
				return err
			}
			page, err := fs.ReadFile(os.DirFS(dir), name)
			if found := inline.Find(page); found != nil {
				t.Errorf("%s/%s has %q", dir, name, found)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestSomeApps: of a demo with some apps the pages lead to these, and the others are not
// there.
func TestSomeApps(t *testing.T) {
	r := run(t, Options{DataDir: t.TempDir(), Apps: []string{"chat", "inbox"}})
	for path, want := range map[string]string{"/demo/assets/served.js": `["chat","inbox"]`, "/chat/": "Rooms", "/inbox/": "Inbox", "/demo/ringdown.yaml": "chat:{room}"} {
		if status, body := r.get(path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s answered %d %.200s", path, status, body)
		}
	}
	if status, _ := r.get("/shop/"); status != 404 {
		t.Errorf("the shop answered %d", status)
	}
	if _, body := r.get("/demo/ringdown.yaml"); strings.Contains(body, "name: orders") {
		t.Error("the channels of the shop are declared")
	}
	if said := r.said.String(); strings.Contains(said, "/shop/") || !strings.Contains(said, "chat, inbox") {
		t.Errorf("it said %s", said)
	}
	if err := Run(t.Context(), Options{DataDir: t.TempDir(), Apps: []string{"chess"}, Out: io.Discard}); err == nil || !strings.Contains(err.Error(), `no app "chess", but shop`) {
		t.Errorf("an app that there is not: %v", err)
	}
}
