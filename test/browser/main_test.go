// Package browser drives the demo's pages with a real Chromium against a real
// server process.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"ringdown/test/program"
)

// What all tests share, set by TestMain.
var (
	browser     context.Context // windows are opened from it
	screenshots string          // a folder; RINGDOWN_SCREENSHOTS or a temporary one
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	chromium, err := findChromium()
	if err != nil {
		fmt.Println("SKIP: browser tests need Chromium:", err)
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "ringdown-browser-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if screenshots = os.Getenv("RINGDOWN_SCREENSHOTS"); screenshots == "" {
		screenshots = dir
	}
	if screenshots, err = filepath.Abs(screenshots); err != nil {
		return 1, err
	}
	if err := os.MkdirAll(screenshots, 0o700); err != nil {
		return 1, err
	}
	if err := program.Build(dir); err != nil {
		return 1, err
	}
	stop, err := startChromium(chromium, filepath.Join(dir, "profile"))
	if err != nil {
		return 1, err
	}
	defer stop()
	return m.Run(), nil
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("none of chromium, chromium-browser, google-chrome is in PATH")
}

func startChromium(path, profile string) (stop func(), err error) {
	options := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox, // root may not have one; the pages are our own
		chromedp.Headless, chromedp.DisableGPU,
	}, flags(
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "disable-renderer-backgrounding",
		"disable-dev-shm-usage", "hide-scrollbars",
	)...)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		cancelAllocator()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	browser = ctx
	return func() {
		chromedp.Cancel(ctx)
		cancel()
		cancelAllocator()
	}, nil
}

func flags(names ...string) (options []chromedp.ExecAllocatorOption) {
	for _, name := range names {
		options = append(options, chromedp.Flag(name, true))
	}
	return options
}
