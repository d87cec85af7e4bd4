package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

func TestTheShopAlone(t *testing.T) {
	t.Setenv("RINGDOWN_API_KEY", "shop-alone-key-0123")
	ctx, cancel := context.WithCancel(t.Context())
	said, out := io.Pipe()
	ended := make(chan error, 1)
	dir := t.TempDir()
	go func() {
		err := run(ctx, "127.0.0.1:0", dir, out)
		out.CloseWithError(err) // wakes the reader if there was nothing to say
		ended <- err
	}()
	line := make([]byte, 200)
	n, err := said.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	base := regexp.MustCompile(`http://[0-9.:]+`).FindString(string(line[:n]))
	for path, want := range map[string]string{"/": "Small comforts", "/demo/about/shop": "A pet shop", "/demo/assets/served.js": `["shop"]`, "/shop/staff": "At the counter", "/demo/token?user=ann": "token", "/livez": ""} {
		answer, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s answered %d %.200s (%v)", path, answer.StatusCode, body, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
