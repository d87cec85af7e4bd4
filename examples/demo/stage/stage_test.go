package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "stage-test-key-0123"

func openGate(t *testing.T, dir string) *Gate {
	t.Helper()
	g, err := OpenGate(dir, testKey)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func bearing(credential string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	return r
}

func TestCallers(t *testing.T) {
	g := openGate(t, t.TempDir())
	token := func(user string) string {
		t.Helper()
		s, err := g.Token(user)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	signed := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		t.Helper()
		s, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	later := time.Now().Add(time.Hour).Unix()
	tests := []struct {
		name, credential string
		want             Caller // zero: refused
	}{
		{"a customer", token("ann"), Caller{User: "ann"}},
		{"staff", token("staff"), Caller{User: "staff", Staff: true}},
		{"more staff", token("staff-amy"), Caller{User: "staff-amy", Staff: true}},
		{"not staff", token("staffa"), Caller{User: "staffa"}},
		{"the key", testKey, Caller{User: "api", Staff: true, Key: true}},
		{"half the key", testKey[:8], Caller{}},
		{"nothing", "", Caller{}},
		{"nonsense", "a.b.c", Caller{}},
		{"too long", strings.Repeat("x", protocol.MaxToken+1), Caller{}},
		{"another secret", signed(jwt.SigningMethodHS256, []byte("other"), jwt.MapClaims{"sub": "ann", "exp": later}), Caller{}},
		{"another algorithm", signed(jwt.SigningMethodHS512, g.secret, jwt.MapClaims{"sub": "ann", "exp": later}), Caller{}},
		{"no algorithm", signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"sub": "ann", "exp": later}), Caller{}},
		{"expired", signed(jwt.SigningMethodHS256, g.secret, jwt.MapClaims{"sub": "ann", "exp": later - 7200}), Caller{}},
		{"for ever", signed(jwt.SigningMethodHS256, g.secret, jwt.MapClaims{"sub": "ann"}), Caller{}},
		{"nobody", signed(jwt.SigningMethodHS256, g.secret, jwt.MapClaims{"exp": later}), Caller{}},
		{"a channel", signed(jwt.SigningMethodHS256, g.secret, jwt.MapClaims{"sub": "a:b", "exp": later}), Caller{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := g.Caller(bearing(test.credential))
			if got != test.want {
				t.Errorf("caller is %+v, want %+v", got, test.want)
			}
			if test.want != (Caller{}) {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*protocol.Error](err)
			if !ok || e.Code != protocol.CodeUnauthorized {
				t.Errorf("error is %v, want unauthorized", err)
			}
			if test.credential != "" && strings.Contains(err.Error(), test.credential) {
				t.Error("the error gives the credential away")
			}
		})
	}
}

func TestTokensSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	token, err := openGate(t, dir).Token("ann")
	if err != nil {
		t.Fatal(err)
	}
	if who, err := openGate(t, dir).Caller(bearing(token)); err != nil || who.User != "ann" {
		t.Errorf("after a restart the caller is %+v, %v", who, err)
	}
	info, err := os.Stat(filepath.Join(dir, secretFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's mode is %v (%v), want 0600", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, secretFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGate(dir, testKey); err == nil {
		t.Error("a short secret was taken")
	}
}

func TestEnv(t *testing.T) {
	g := openGate(t, t.TempDir())
	t.Setenv("STAGE_TEST", "x")
	for name, want := range map[string]string{"RINGDOWN_JWT_SECRET": string(g.secret), "RINGDOWN_API_KEY": testKey, "STAGE_TEST": "x"} {
		if got, ok := g.Env(name); !ok || got != want {
			t.Errorf("%s is %q, %t", name, got, ok)
		}
	}
	if _, ok := g.Env("STAGE_TEST_UNSET"); ok {
		t.Error("a variable that is not set was found")
	}
}

func TestServeToken(t *testing.T) {
	g := openGate(t, t.TempDir())
	for query, status := range map[string]int{
		"?user=ann": 200, "": 400, "?user=": 400, "?user=a:b": 400, "?user=-a": 400, "?user=" + strings.Repeat("a", 33): 400, "?user=%C3%A4": 400,
	} {
		w := httptest.NewRecorder()
		g.ServeToken(w, httptest.NewRequest("GET", "/demo/token"+query, nil))
		if w.Code != status {
			t.Errorf("%q answered %d, want %d", query, w.Code, status)
		}
	}
}

func TestCallerOf(t *testing.T) {
	who, err := CallerOf(json.RawMessage(`{"sub":"staff","roles":["staff"],"exp":1}`))
	if err != nil || who != (Caller{User: "staff", Staff: true}) {
		t.Errorf("caller is %+v, %v", who, err)
	}
	for _, claims := range []string{"", "null", `{}`, `{"sub":7}`, `{"sub":"a:b"}`} {
		if who, err := CallerOf(json.RawMessage(claims)); err == nil {
			t.Errorf("%q is %+v, want a refusal", claims, who)
		}
	}
}

type detailedError struct{ error }

func (detailedError) Details() map[string]any { return map[string]any{"product": "lamp"} }
func (d detailedError) Unwrap() error         { return d.error }

func TestRefuse(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"protocol error", protocol.Errorf(protocol.CodeForbidden, "not you"), `{"code":"forbidden","detail":"not you","status":403,"title":"Forbidden","type":"about:blank"}`},
		{"wrapped", fmt.Errorf("while trying: %w", protocol.Errorf(protocol.CodeNotFound, "gone")), `"detail":"gone"`},
		{"with details", detailedError{protocol.Errorf(protocol.CodeConflict, "none left")}, `"product":"lamp"`},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		Refuse(w, test.err)
		if !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %s, want %s", test.name, w.Body, test.want)
		}
	}
	w := httptest.NewRecorder()
	Refuse(w, errors.New("password is hunter2"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("an inner error was shown: %d %s", w.Code, w.Body)
	}
}

func TestPages(t *testing.T) {
	h := Pages(fstest.MapFS{
		"index.html":   {Data: []byte("<p>home")},
		"staff.html":   {Data: []byte("<p>staff")},
		"js/page.js":   {Data: []byte("let x")},
		"config.yaml":  {Data: []byte("a: 1")},
		"pictures/a.b": {Data: []byte("?")},
	})
	tests := []struct {
		method, path string
		status       int
		kind         string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/staff", 200, "text/html; charset=utf-8"},
		{"GET", "/js/page.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/config.yaml", 200, "text/plain; charset=utf-8"},
		{"GET", "/js/", 404, "application/problem+json"},
		{"GET", "/../stage_test.go", 404, "application/problem+json"},
		{"POST", "/", 404, "application/problem+json"},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(test.method, "/", nil)
		r.URL.Path = test.path
		h.ServeHTTP(w, r)
		if w.Code != test.status || w.Header().Get("Content-Type") != test.kind {
			t.Errorf("%s %s answered %d as %q, want %d as %q", test.method, test.path, w.Code, w.Header().Get("Content-Type"), test.status, test.kind)
		}
		if w.Code == 200 && !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self';") {
			t.Errorf("%s has no policy", test.path)
		}
	}
	w := httptest.NewRecorder()
	File("made.json", []byte("{}")).ServeHTTP(w, httptest.NewRequest("GET", "/any", nil))
	if w.Code != 200 || w.Body.String() != "{}" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("a made file answered %d %s as %s", w.Code, w.Body, w.Header().Get("Content-Type"))
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	again := httptest.NewRequest("GET", "/", nil)
	again.Header.Set("If-None-Match", w.Header().Get("ETag"))
	w = httptest.NewRecorder()
	h.ServeHTTP(w, again)
	if w.Code != http.StatusNotModified {
		t.Errorf("the same page again answered %d, want 304", w.Code)
	}
}

// The pages' policy forbids inline scripts and styles, so there must be none.
func TestAssetsAreServed(t *testing.T) {
	for _, name := range []string{"apps.js", "page.js", "ringdown.css", "mark.svg"} {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest("GET", "/demo/assets/"+name, nil))
		if w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s answered %d", name, w.Code)
		}
	}
}

// part notes when it is started and stopped.
type part struct {
	name string
	log  *[]string
	err  error
}

func (p *part) Start(context.Context) error {
	*p.log = append(*p.log, "start "+p.name)
	return p.err
}

func (p *part) Stop(context.Context) error {
	*p.log = append(*p.log, "stop "+p.name)
	return nil
}

func TestServe(t *testing.T) {
	var log []string
	ctx, cancel := context.WithCancel(t.Context())
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	ready := func(a net.Addr) {
		go func() {
			defer cancel()
			answer, err := http.Get("http://" + a.String())
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
			http.DefaultClient.CloseIdleConnections()
		}()
	}
	err := Serve(ctx, "127.0.0.1:0", hello, slog.New(slog.DiscardHandler), ready, &part{"a", &log, nil}, &part{"b", &log, nil})
	if got := strings.Join(log, ", "); err != nil || got != "start a, start b, stop b, stop a" {
		t.Errorf("%s (%v)", got, err)
	}
}

func TestServeThatCannotStartLeavesNothing(t *testing.T) {
	var log []string
	broken := errors.New("broken")
	ready := func(net.Addr) { t.Error("it was ready") }
	err := Serve(t.Context(), "127.0.0.1:0", nil, slog.New(slog.DiscardHandler), ready, &part{"a", &log, nil}, &part{"b", &log, broken})
	if got := strings.Join(log, ", "); !errors.Is(err, broken) || got != "start a, start b, stop a" {
		t.Errorf("%s (%v)", got, err)
	}
	if err := Serve(t.Context(), "256.0.0.1:0", nil, slog.New(slog.DiscardHandler), ready); err == nil {
		t.Error("it listened nowhere")
	}
}

// Any body is either decoded or refused as the client's mistake.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"name":"x"}`, `{"name":"x"}{}`, `{`, ``, `{"other":1}`, `null`, `"`, "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var v struct {
			Name string `json:"name"`
		}
		err := DecodeJSON(strings.NewReader(body), &v)
		if err == nil {
			return
		}
		if e, ok := errors.AsType[*protocol.Error](err); !ok || e.Code != protocol.CodeBadRequest {
			t.Errorf("%q: %v, want bad_request", body, err)
		}
	})
}
