package stage

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"ringdown/protocol"
)

// policy lets a page load its own files and talk to its own server, and
// nothing else: no inline script or style, no foreign host, no framing.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

//go:embed assets
var assets embed.FS

// Assets serves what the pages share: the way in to the server, the frame around
// each page, and the look. Mount it at /demo/assets/.
func Assets() http.Handler {
	sub, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // only a wrong name in the line above
	}
	return http.StripPrefix("/demo/assets", Pages(sub))
}

// Served tells the pages which apps there are here, so that none leads to one that is
// not. Mount it at GET /demo/assets/served.js.
func Served(names ...string) http.Handler {
	list, err := json.Marshal(names)
	if err != nil {
		panic(err) // names are texts
	}
	return File("served.js", fmt.Appendf(nil, "// The apps that are served.\nexport const served = %s;\n", list))
}

// Pages serves the files of fsys by path; "/" is index.html and a path without
// an extension is the .html of that name. Every file is read once, here.
// Answers carry an ETag and are revalidated each time, so a restarted server is
// never met by yesterday's scripts.
func Pages(fsys fs.FS) http.Handler {
	files := map[string]*file{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		files["/"+name] = newFile(name, body)
		return nil
	})
	if err != nil {
		panic(err) // the files are embedded: they are there or the build is broken
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path
		switch {
		case strings.HasSuffix(name, "/"):
			name += "index.html"
		case path.Ext(name) == "":
			name += ".html"
		}
		f := files[name]
		if f == nil || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
			Refuse(w, protocol.Errorf(protocol.CodeNotFound, "there is nothing to %s here", r.Method))
			return
		}
		f.serve(w, r)
	})
}

// File serves one file that was made and not read. What it is follows from the
// name's extension.
func File(name string, body []byte) http.Handler {
	return http.HandlerFunc(newFile(name, body).serve)
}

type file struct {
	body []byte
	kind string
	etag string
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // the machine's MIME table is not to be trusted with these
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".yaml":
		kind = "text/plain; charset=utf-8"
	case ".json":
		kind = "application/json"
	case ".svg":
		kind = "image/svg+xml"
	}
	return &file{body: body, kind: kind, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // plain.html carries a token in its address
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
