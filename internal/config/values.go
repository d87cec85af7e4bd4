package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads what Go reads, and days: 90s, 1h30m, 7d.
func ParseDuration(s string) (time.Duration, error) {
	if count, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseFloat(count, 64)
		if err != nil || math.IsNaN(days) || math.Abs(days) > 100_000 {
			return 0, errors.New("not a duration")
		}
		return time.Duration(days * 24 * float64(time.Hour)), nil
	}
	return time.ParseDuration(s)
}

// duration writes d as people write it: 5s, 10m, 24h, 366d.
func duration(d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// parseSize reads a number of bytes: 65536, 64KiB, 1.5MB.
func parseSize(s string) (int64, error) {
	factor := int64(1)
	for _, u := range units {
		if len(s) > len(u.name) && strings.EqualFold(s[len(s)-len(u.name):], u.name) {
			s, factor = strings.TrimSpace(s[:len(s)-len(u.name)]), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/factor {
		return n * factor, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f*float64(factor) < 1<<62) || factor == 1 {
		return 0, errors.New("not a size")
	}
	return int64(f * float64(factor)), nil
}

// size writes n bytes as people write them: 64KiB.
func size(n int64) string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

// bounds says between what the values of a key are, "" if there is no bound.
func (k *key) bounds() string {
	show := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch k.shape {
	case aSize:
		show = size
	case aDuration:
		show = func(n int64) string { return duration(time.Duration(n)) }
	case aNumber:
	default:
		return ""
	}
	return show(k.min) + " to " + show(k.max)
}

// nearest returns the candidate that s is most likely a typing mistake for, ""
// if there is none that is close.
func nearest(s string, candidates []string) string {
	best, least := "", 3
	for _, c := range candidates {
		d := distance(strings.ToLower(s), strings.ToLower(c))
		if d < least && d*2 < max(len(s), 3) {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to change, add, leave out or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
