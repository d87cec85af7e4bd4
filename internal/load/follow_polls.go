package load

import (
	"bytes"
	"strconv"
	"time"
)

// shortPoll asks REST for what is behind the last message that it knows.
type shortPoll struct{}

func (shortPoll) ask(dst []byte, a *audience, u *user) []byte {
	dst = append(dst, "GET /v1/channels/"+FollowChannel+"/messages?after="...)
	dst = strconv.AppendUint(dst, u.after, 10)
	return a.fields(dst, u)
}

func (shortPoll) take(a *audience, i int, p []byte, now time.Duration) (int, error) {
	body, n, err := wholeAnswer(p)
	if n == 0 || err != nil {
		return 0, err
	}
	u := &a.users[i]
	u.waiting = false
	if after, ok := lastNumber(body, `"offset":`); ok {
		u.after = after
	}
	a.deliveries(u, body, now)
	a.arrive(u)
	return n, nil
}

// longPoll asks again as soon as it was answered.
type longPoll struct{}

func (longPoll) ask(dst []byte, a *audience, u *user) []byte {
	dst = append(dst, "GET /v1/poll?channel="+FollowChannel+"&wait=25"...)
	if len(u.cursor) > 0 {
		dst = append(dst, "&cursor="...)
		dst = append(dst, u.cursor...)
	}
	return a.fields(dst, u)
}

func (longPoll) take(a *audience, i int, p []byte, now time.Duration) (int, error) {
	body, n, err := wholeAnswer(p)
	if n == 0 || err != nil {
		return 0, err
	}
	u := &a.users[i]
	const before = `"cursor":"`
	if at := bytes.LastIndex(body, []byte(before)); at >= 0 {
		cursor, _, _ := bytes.Cut(body[at+len(before):], []byte{'"'})
		u.cursor = append(u.cursor[:0], cursor...)
	}
	a.deliveries(u, body, now)
	a.arrive(u)
	a.ask(i)
	return n, nil
}

// fields appends what follows the address in a request.
func (a *audience) fields(dst []byte, u *user) []byte {
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, a.host...)
	dst = append(dst, "\r\nAuthorization: Bearer "...)
	dst = append(dst, u.token...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, a.headers...)
	return append(dst, "\r\n"...)
}

// lastNumber reads the number behind the last name in p. The updates have no such
// name in them.
func lastNumber(p []byte, name string) (n uint64, ok bool) {
	at := bytes.LastIndex(p, []byte(name))
	if at < 0 {
		return 0, false
	}
	for _, c := range p[at+len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n, ok = n*10+uint64(c-'0'), true
	}
	return n, ok
}
