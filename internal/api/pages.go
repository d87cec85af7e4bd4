package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"ringdown/internal/problem"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

var (
	//go:embed pages.html
	pagesHTML string
	//go:embed pages.css
	pagesCSS string

	pages = template.Must(template.New("pages").Funcs(template.FuncMap{
		"css": func() template.CSS { return template.CSS(pagesCSS) }, //nolint:gosec // a file of ours
	}).Parse(pagesHTML))
	// pagesPolicy lets these pages have their style and nothing else.
	pagesPolicy = "default-src 'none'; style-src 'sha256-" + digest(pagesCSS) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// The forms that a page comes in.
const (
	asHTML = "text/html"
	asJSON = "application/json"
	asText = "text/plain"
)

// form is the form that a client would rather have: a browser asks for HTML,
// programs for JSON, and who says nothing is a person at a terminal.
func form(r *http.Request) string {
	best, most := asText, 0.0
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		if kind == problem.Type {
			kind = asJSON
		}
		weight := 1.0
		if q := params["q"]; q != "" {
			weight, _ = strconv.ParseFloat(q, 64)
		}
		if (kind == asHTML || kind == asJSON || kind == asText) && weight > most {
			best, most = kind, weight
		}
	}
	return best
}

// page is one that comes in three forms.
type page struct {
	status int
	once   string // its name among those that are made once; empty: it is not
	name   string // of the template
	html   any
	json   any
	text   string
}

// as makes the text of the page in one form.
func (p *page) as(form string) ([]byte, error) {
	var out bytes.Buffer
	switch form {
	case asHTML:
		err := pages.ExecuteTemplate(&out, p.name, p.html)
		return out.Bytes(), err
	case asJSON:
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err := e.Encode(p.json)
		return out.Bytes(), err
	}
	return []byte(p.text), nil
}

// made are the pages that were made once: they need no credential, and are the
// same for everybody. Their number is that of the codes, three forms each.
var made sync.Map

func (h *Handler) show(w http.ResponseWriter, r *http.Request, p page) error {
	as := form(r)
	name := [2]string{p.once, as}
	var text []byte
	if known, ok := made.Load(name); ok && p.once != "" {
		text, _ = known.([]byte)
	} else {
		var err error
		if text, err = p.as(as); err != nil {
			return err
		}
		if p.once != "" {
			made.Store(name, text)
		}
	}
	kind := as + "; charset=utf-8"
	switch as {
	case asHTML:
		w.Header().Set("Content-Security-Policy", pagesPolicy)
	case asJSON:
		kind = as
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.status)
	_, _ = w.Write(text) // an error is the client's having gone
	return nil
}

// errorPages lists the codes.
func (h *Handler) errorPages(w http.ResponseWriter, r *http.Request) error {
	p := codes(http.StatusOK, "../", "")
	p.once = "codes"
	return h.show(w, r, p)
}

// codes is the list of all codes; missing is one that was asked for and is none.
func codes(status int, root, missing string) page {
	var text strings.Builder
	for _, p := range problem.Pages {
		fmt.Fprintf(&text, "%-16s %d  %s\n", p.Code, p.Status, p.Title)
	}
	text.WriteString("\nEach has a page: " + protocol.ErrorPages + "CODE\n")
	return page{status, "", "list", map[string]any{"Root": root, "Pages": problem.Pages, "Missing": missing}, map[string]any{"errors": problem.Pages}, text.String()}
}

// errorPage tells about one code.
func (h *Handler) errorPage(w http.ResponseWriter, r *http.Request) error {
	code := protocol.Code(r.PathValue("code"))
	p := problem.PageOf(code)
	if p == nil {
		return h.noSuchCode(w, r, code)
	}
	text := fmt.Sprintf("%s: %s (HTTP %d)\n\n%s\n\nTry again? %s\n\nWhat to do:\n- %s\n\nAn example:\n  > %s\n  < %s\n",
		p.Code, p.Title, p.Status, p.Means, p.Final, strings.Join(p.Do, "\n- "), p.Example.Sent, p.Example.Answer)
	return h.show(w, r, page{http.StatusOK, string(code), "page", map[string]any{"Root": "../../", "Page": p}, p, text})
}

// noSuchCode answers with the codes that there are.
func (h *Handler) noSuchCode(w http.ResponseWriter, r *http.Request, code protocol.Code) error {
	list := make([]string, len(problem.Pages))
	for i, p := range problem.Pages {
		list[i] = string(p.Code)
	}
	e := protocol.Errorf(protocol.CodeNotFound, "there is no code %q; the codes are %s", shorten(string(code)), strings.Join(list, ", ")).WithReason("error_code")
	if form(r) != asHTML {
		return e
	}
	h.opts.Load().Sessions.Refusals().Note(refusal.Refusal{Door: refusal.REST, Err: e, Action: action(r), Address: remote(r)})
	return h.show(w, r, codes(http.StatusNotFound, "../../", shorten(string(code))))
}

// link is something that the server has, on its first page.
type link struct {
	Path  string `json:"href"`
	About string `json:"about"`
	Href  string `json:"-"` // from the page, wherever the server is mounted
}

// root says what answers here, to whoever opens the address without a path.
func (h *Handler) root(w http.ResponseWriter, r *http.Request) error {
	who := " (with a server key)"
	if h.opts.Load().Public {
		who = ""
	}
	links := []link{
		{Path: "/v1/ws", About: "WebSocket: new WebSocket(\"wss://…/v1/ws\")"},
		{Path: "/v1/openapi.json", About: "the REST API, as an OpenAPI document" + who},
		{Path: "/v1/asyncapi.json", About: "the declared channels, as an AsyncAPI document" + who},
		{Path: "/v1/client.js", About: "the client, as a module for pages: import {Ringdown} from …"},
		{Path: "/v1/errors", About: "what the error codes mean"},
		{Path: "/livez", About: "whether the server runs"},
		{Path: "/readyz", About: "whether it can serve"},
	}
	var text strings.Builder
	name := h.opts.Load().Name
	fmt.Fprintf(&text, "This is a Ringdown server (%s).\n\n", name)
	for i := range links {
		if i > 0 { // a browser's address bar opens no WebSocket
			links[i].Href = "." + links[i].Path
		}
		fmt.Fprintf(&text, "%-18s %s\n", links[i].Path, links[i].About)
	}
	return h.show(w, r, page{http.StatusOK, "", "root", map[string]any{"Name": name, "Links": links}, map[string]any{"server": name, "links": links}, text.String()})
}
