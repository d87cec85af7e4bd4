package load

import (
	"errors"
	"strings"
	"testing"
)

const okHead = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"

func TestAnswersAreReadWhole(t *testing.T) {
	for name, c := range map[string]struct{ text, body string }{
		"length":  {okHead + "Content-Length: 5\r\nDate: now\r\n\r\nhello", "hello"},
		"empty":   {okHead + "Content-Length: 0\r\n\r\n", ""},
		"chunks":  {okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"},
		"newline": {okHead + "Content-Length: 4\r\n\r\n\r\n\r\n", "\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			// Whatever has come, it is either the whole of it or nothing.
			for end := range len(c.text) {
				if _, n, err := wholeAnswer([]byte(c.text[:end])); n != 0 || err != nil {
					t.Fatalf("of %q it took %d bytes: %v", c.text[:end], n, err)
				}
			}
			body, n, err := wholeAnswer([]byte(c.text + "HTTP/1.1 200"))
			if string(body) != c.body || n != len(c.text) || err != nil {
				t.Errorf("body %q of %d bytes: %v", body, n, err)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"refused":          {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nwho", errRefused},
		"no length":        {okHead + "\r\nhello", errNoHTTP},
		"no number":        {okHead + "Content-Length: five\r\n\r\nhello", errNoHTTP},
		"a huge length":    {okHead + "Content-Length: 99999999999\r\n\r\nhello", errNoHTTP},
		"no chunk":         {okHead + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", errNoHTTP},
		"an endless chunk": {okHead + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 40), errNoHTTP},
		"an endless head":  {strings.Repeat("x", maxAnswer+1), errNoHTTP},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := wholeAnswer([]byte(c.text)); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}
