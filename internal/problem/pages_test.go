package problem

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringdown/protocol"
)

// codes reads the codes out of the source of the protocol.
func codes(t *testing.T) (list []protocol.Code) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../protocol/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || v.Type == nil || fmt.Sprint(v.Type) != "Code" {
			return true
		}
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, protocol.Code(text))
		return true
	})
	return list
}

// TestEveryCodeHasItsPage: and each page says everything; and the document of the
// protocol has the same codes with the same status.
func TestEveryCodeHasItsPage(t *testing.T) {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	all := codes(t)
	if len(all) < 15 || len(all) != len(Pages) {
		t.Fatalf("%d codes, %d pages", len(all), len(Pages))
	}
	for i, code := range all {
		p := PageOf(code)
		if p == nil {
			t.Errorf("%s has no page", code)
			continue
		}
		if Pages[i].Code != code {
			t.Errorf("page %d is that of %s, not %s", i, Pages[i].Code, code)
		}
		if p.Title == "" || p.Means == "" || p.Final == "" || len(p.Do) == 0 || p.Example.Sent == "" || !json.Valid([]byte(p.Example.Answer)) ||
			p.Href != "/v1/errors/"+string(code) || p.Status != code.HTTPStatus() {
			t.Errorf("%s: something is missing: %+v", code, p)
		}
		if row := fmt.Sprintf("| `%s` | %d |", code, p.Status); !strings.Contains(string(doc), row) {
			t.Errorf("docs/protocol.md has no row %s", row)
		}
	}
	if PageOf("nothing") != nil || title("nothing") != "nothing" {
		t.Error("a code that is none has a page")
	}
}

func TestWrite(t *testing.T) {
	e := protocol.Errorf(protocol.CodeRateLimited, "slower & <again>").WithLimit("limits.connection.messages_per_second")
	e.RetryAfter = 1500 * time.Millisecond
	e.DidYouMean = "ping"
	w := httptest.NewRecorder()
	Write(w, http.StatusTooManyRequests, e)
	want := `{"type":"/v1/errors/rate_limited","title":"Too often","status":429,"detail":"slower & <again>","code":"rate_limited","retryable":true,"retry_after":1.5,` +
		`"limit":"limits.connection.messages_per_second","did_you_mean":"ping","href":"/v1/errors/rate_limited"}` + "\n"
	if w.Code != 429 || w.Body.String() != want || w.Header().Get("Content-Type") != Type || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	Write(w, http.StatusUnauthorized, protocol.Errorf(protocol.CodeUnauthorized, "who?"))
	if w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Error(w.Header())
	}
}
