package transports

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// asked is a request as some client makes it, and what comes of it.
type asked struct {
	name   string
	header string
	body   string
	status int
	says   string
}

const follows = `{"channels":[{"channel":"orders"}]}`

// h2c is what Java's HttpClient offers with every request to an http address.
const h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"

// TestRequestsAsTheyAre: HTTP clients add things of their own to a request. None
// of it is misread, and what is not done is said.
func TestRequestsAsTheyAre(t *testing.T) {
	w := newWorld(t)
	json := "Content-Type: application/json\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(follows))
	half := fmt.Sprintf("5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", follows[:5], len(follows)-5, follows[5:])
	with := func(body string) string { return json + fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
	for _, path := range []string{"/v1/sse", "/v1/poll"} {
		for _, c := range []asked{
			{"plain", json + length, follows, 200, "subscribed"},
			{"h2c is offered", h2c + json + length, follows, 200, "subscribed"},
			{"chunks", json + "Transfer-Encoding: chunked\r\n", half, 200, "subscribed"},
			{"Expect", json + length + "Expect: 100-continue\r\n", follows, 200, "subscribed"},
			{"charset", "Content-Type: Application/JSON; charset=\"UTF-8\"\r\n" + length, follows, 200, "subscribed"},
			{"another charset", "Content-Type: application/json; charset=latin1\r\n" + length, follows, 400, "UTF-8"},
			{"text", "Content-Type: text/plain\r\n" + length, follows, 400, "application/json"},
			{"no type", length, follows, 400, "application/json"},
			{"a byte order mark", with("\xEF\xBB\xBF" + follows), "\xEF\xBB\xBF" + follows, 400, "BOM"},
			{"compressed", json + "Content-Encoding: gzip\r\n" + length, follows, 415, "Content-Encoding"},
			{"empty", with(""), "", 400, "early"},
			{"two values", with("{}{}"), "{}{}", 400, "more after"},
			{"not UTF-8", with("{\"cursor\":\"\xE9\"}"), "{\"cursor\":\"\xE9\"}", 400, "UTF-8"},
			{"a name twice", with(`{"cursor":"","cursor":""}`), `{"cursor":"","cursor":""}`, 400, "second time"},
			{"brackets", with(`{"channels":` + strings.Repeat("[", 5000) + "}"), `{"channels":` + strings.Repeat("[", 5000) + "}", 400, "64"},
			{"too large", json + "Content-Length: 70000\r\n", "{", 413, "65536"},
			{"a misspelt field", with(`{"chanels":[]}`), `{"chanels":[]}`, 400, "chanels"},
		} {
			t.Run(path[4:]+"/"+c.name, func(t *testing.T) {
				request := "POST " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: bearer " + token(t, time.Hour) + "\r\n" + c.header + "\r\n" + c.body
				status, text := raw(t, w, request, c.says)
				if status != c.status || !strings.Contains(text, c.says) {
					t.Errorf("%d %.300s", status, text)
				}
			})
		}
		status, text := raw(t, w, "GET "+path+"?channel=orders HTTP/1.1\r\nHost: x\r\nAuthorization: bearer "+token(t, time.Hour)+"\r\n"+h2c+"\r\n", "subscribed")
		if status != 200 || !strings.Contains(text, "subscribed") {
			t.Errorf("GET %s with h2c: %d %.300s", path, status, text)
		}
	}
}

// raw makes a request of these bytes, and reads its answer until it says something.
func raw(t *testing.T, w *world, request, says string) (status int, text string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		var b strings.Builder
		for body := bufio.NewReader(resp.Body); !strings.Contains(b.String(), says); {
			line, err := body.ReadString('\n')
			if b.WriteString(line); err != nil {
				break
			}
		}
		return resp.StatusCode, b.String()
	}
}
