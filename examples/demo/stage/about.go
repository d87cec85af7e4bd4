package stage

import (
	"bytes"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"ringdown/docs"
	"ringdown/protocol"
)

// aboutPage is the frame of an explanation: its app, its title, its text.
const aboutPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>%[2]s · Ringdown</title>
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/demo/assets/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/demo/assets/ringdown.css">
<link rel="stylesheet" href="/demo/assets/about.css">
<script type="module" src="/demo/assets/about.js"></script>
</head>
<body data-app="%[1]s">
<header class="top"></header>
<main class="about">
%[3]s
</main>
</body>
</html>
`

// About serves the pages of docs/apps, made into HTML once. Mount it at
// GET /demo/about/{app}.
func About() http.Handler {
	pages := map[string]http.Handler{}
	files, err := fs.Glob(docs.Apps, "apps/*.md")
	if err != nil {
		panic(err) // only a pattern that is none
	}
	for _, file := range files {
		source, err := fs.ReadFile(docs.Apps, file)
		if err != nil {
			panic(err) // it is embedded
		}
		name := strings.TrimSuffix(path.Base(file), ".md")
		pages[name] = File("about.html", render(name, source))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if page := pages[r.PathValue("app")]; page != nil {
			page.ServeHTTP(w, r)
			return
		}
		Refuse(w, protocol.Errorf(protocol.CodeNotFound, "there is no such app"))
	})
}

// render makes a page of Markdown. Other files of the repository are not served: links
// to them become their text, and images of them are left out.
func render(name string, source []byte) []byte {
	md := goldmark.New(goldmark.WithExtensions(extension.Table))
	doc := md.Parser().Parse(text.NewReader(source))
	title := name
	var links, images []ast.Node
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			if to := string(n.Destination); !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "http") && !strings.HasPrefix(to, "#") {
				links = append(links, n)
			}
		case *ast.Image:
			images = append(images, n)
		case *ast.Heading:
			if n.Level == 1 {
				title = string(n.Lines().Value(source))
			}
		}
		return ast.WalkContinue, nil
	})
	for _, n := range images {
		n.Parent().RemoveChild(n.Parent(), n)
	}
	for _, n := range links {
		parent := n.Parent()
		for child := n.FirstChild(); child != nil; child = n.FirstChild() {
			parent.InsertBefore(parent, n, child)
		}
		parent.RemoveChild(parent, n)
	}
	var body bytes.Buffer
	if err := md.Renderer().Render(&body, source, doc); err != nil {
		panic(err) // a buffer takes everything
	}
	return fmt.Appendf(nil, aboutPage, html.EscapeString(name), html.EscapeString(title), body.String())
}
