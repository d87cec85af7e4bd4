package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlLWNhbmFyeQ"

// TestCanaries logs a secret in every way that somebody might, and looks for it.
func TestCanaries(t *testing.T) {
	const canary = "canary0123456789"
	address := &url.URL{Scheme: "https", Host: "a.example", Path: "/v1/ws", RawQuery: "token=" + canary}
	header := http.Header{"Authorization": {"Bearer " + canary}, "Cookie": {"session=" + canary}}
	for _, format := range []string{"text", "json"} {
		for name, attrs := range map[string][]any{
			"token":            {"token", canary},
			"Token":            {"Token", canary},
			"ticket":           {"ticket", canary},
			"authorization":    {"authorization", "Basic " + canary},
			"api_key":          {"api_key", canary},
			"X-Api-Key":        {"X-Api-Key", canary},
			"set-cookie":       {"set-cookie", canary},
			"bytes":            {"secret", []byte(canary)},
			"in a group":       {slog.Group("request", "token", canary)},
			"deep in groups":   {slog.Group("a", slog.Group("b", "cookie", canary))},
			"a group of it":    {slog.Group("x", slog.Any("jwt", map[string]string{"a": canary}))},
			"URL":              {"url", address},
			"URL as text":      {"url", address.String()},
			"URL, no name":     {"url", "wss://a.example/v1/ws?" + canary},
			"path":             {"path", address.RequestURI()},
			"second parameter": {"path", "/v1/ws?a=b&ticket=" + canary + "&c=d"},
			"error":            {"error", &url.Error{Op: "Get", URL: address.String(), Err: errors.New("refused")}},
			"wrapped error":    {"error", fmt.Errorf("handshake: %w", &url.Error{Op: "Get", URL: address.String(), Err: errors.New("refused")})},
			"header":           {"header", header},
			"header value":     {"value", "bearer " + canary},
			"subprotocol":      {"protocol", "ringdown.v1.json, bearer." + canary},
			"struct":           {"frame", struct{ Token string }{jwt}},
			"struct as JSON":   {"frame", json.RawMessage(`{"type":"auth","token":"` + canary + `"}`)},
			"JWT anywhere":     {"error", errors.New("cannot parse " + jwt)},
			"JWT as a key":     {jwt, 1},
			"private key":      {"pem", "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n"},
		} {
			t.Run(format+" "+name, func(t *testing.T) {
				var out bytes.Buffer
				log, err := NewLogger(&out, LogOptions{Format: format})
				if err != nil {
					t.Fatal(err)
				}
				log.Info("a message", attrs...)
				log.With(attrs...).WithGroup("g").Info("again", "a", 1)
				if strings.Contains(out.String(), canary) || strings.Contains(out.String(), "c2lnbmF0") || strings.Contains(out.String(), "Y2FuYXJ5") {
					t.Errorf("it is in %s", &out)
				}
				if n := strings.Count(out.String(), "\n"); n != 2 {
					t.Errorf("%d lines: %s", n, &out)
				}
				for line := range strings.Lines(out.String()) {
					if format == "json" && !json.Valid([]byte(line)) {
						t.Errorf("the line is broken: %s", line)
					}
				}
			})
		}
		var out bytes.Buffer
		log, err := NewLogger(&out, LogOptions{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("a token came: " + jwt)
		log.Info("GET https://a.example/?" + canary + " failed")
		if strings.Contains(out.String(), canary) || strings.Contains(out.String(), "c2lnbmF0") {
			t.Errorf("a message holds it: %s", &out)
		}
	}
}

// TestOrdinaryLinesStay logs what an operator needs to see.
func TestOrdinaryLinesStay(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("keys for tokens fetched", "source", "id.example", "known", 3, "key_id", "k1", "tokens_refused", 7,
		"url", "https://a.example/v1/ws", "channel", "chat:eyJ", "error", errors.New("what? that is odd"), "monkey", "banana", "keyboard", 1)
	for _, want := range []string{
		"source=id.example", "known=3", "key_id=k1", "url=https://a.example/v1/ws", "channel=chat:eyJ", `error="what? that is odd"`, "monkey=banana", "keyboard=1",
		`msg="keys for tokens fetched"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, &out)
		}
	}
	if !strings.Contains(out.String(), "tokens_refused=") {
		t.Errorf("the name is gone: %s", &out)
	}
}

func TestLevelsAndFormats(t *testing.T) {
	for level, lines := range map[string]int{"debug": 4, "": 3, "info": 3, "INFO": 3, "warn": 2, "error": 1} {
		var out bytes.Buffer
		log, err := NewLogger(&out, LogOptions{Level: level})
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("1")
		log.Info("2")
		log.Warn("3")
		log.Error("4")
		if n := strings.Count(out.String(), "\n"); n != lines {
			t.Errorf("level %q: %d lines", level, n)
		}
	}
	for _, o := range []LogOptions{{Level: "loud"}, {Level: "info+3"}, {Level: "1"}, {Format: "xml"}, {Format: "JSON"}} {
		if _, err := NewLogger(nil, o); err == nil || !strings.Contains(err.Error(), "use ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestWriterFails(t *testing.T) {
	if _, err := (&redactor{broken{}}).Write([]byte("x")); err == nil {
		t.Error("the error is gone")
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("https://a/?token=x")
	f.Add(jwt)
	f.Add("\x1eyJ.0")
	f.Add("-----BEGIN PRIVATE KEY-----\\nAA\\n")
	f.Fuzz(func(t *testing.T, s string) {
		var out bytes.Buffer
		log, err := NewLogger(&out, LogOptions{Format: "json"})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("m", "a", s)
		if !json.Valid(out.Bytes()) || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
			t.Errorf("the line is broken: %s", &out)
		}
	})
}

func BenchmarkLog(b *testing.B) {
	log, err := NewLogger(&bytes.Buffer{}, LogOptions{Format: "json"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		log.Info("client disconnected", "connection", "k3J9", "user", "ann", "reason", "heartbeat lost", "sent", 1234)
	}
}
