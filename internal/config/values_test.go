package config

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "0.5d": 12 * time.Hour, "100ms": 100 * time.Millisecond, "0": 0,
	} {
		if got, err := ParseDuration(s); got != want || err != nil {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "d", "30", "soon", "1e300d", "NaNd", "7 d", "1w"} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	for want, d := range map[string]time.Duration{"5s": 5 * time.Second, "10m": 10 * time.Minute, "24h": 24 * time.Hour, "7d": 168 * time.Hour, "100ms": 100 * time.Millisecond, "1m30s": 90 * time.Second} {
		if got := duration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "65536": 65536, "65_536": 65536, "64KiB": 65536, "64 kib": 65536, "1MiB": 1 << 20, "1.5KiB": 1536, "2KB": 2000, "10B": 10, "1TiB": 1 << 40,
	} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "KiB", "-1", "1.5", "x", "64K", "1e40TiB", "99999999999GiB", "NaNKiB", "-1KiB", "InfKiB"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	for want, n := range map[string]int64{"64KiB": 65536, "1MiB": 1 << 20, "1GiB": 1 << 30, "1TiB": 1 << 40, "1000": 1000} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"channels", "compression", "listen", "for", "jwt", "jwks"}
	for s, want := range map[string]string{
		"chanels": "channels", "cahnnels": "channels", "Channels": "channels", "channel": "channels", "lisen": "listen", "fo": "for",
		"colour": "", "x": "", "jwtt": "jwt", "jkws": "jwks", "compresion": "compression", "": "",
	} {
		if got := nearest(s, names); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestWindow(t *testing.T) {
	line := "0123456789"
	for range 4 {
		line += line
	}
	text, column := window(line, 100)
	if []rune(text)[column-1] != '9' {
		t.Errorf("column %d of %s", column, text)
	}
	if text, column := window("a\tb", 3); text != "a b" || column != 3 {
		t.Errorf("%q, %d", text, column)
	}
	if _, column := window("ab", 99); column != 3 {
		t.Errorf("beyond the end: %d", column)
	}
}
