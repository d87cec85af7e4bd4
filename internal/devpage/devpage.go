// Package devpage is the page that a server with --dev has at /: it subscribes,
// publishes, and shows every frame that goes by, refusals too, with the lines to
// do the same from a shell or a program. It needs nothing from elsewhere, and
// what comes over the line is shown as text only.
package devpage

import (
	"embed"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// policy lets the page load its own files and talk to its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler serves the page at / and what it needs under /dev/.
func Handler() http.Handler {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		http.StripPrefix("/dev", serve).ServeHTTP(w, prefixed(r))
	})
}

// prefixed gives / the name under which the page's own file is found.
func prefixed(r *http.Request) *http.Request {
	if r.URL.Path != "/" {
		return r
	}
	c := r.Clone(r.Context())
	c.URL.Path = "/dev/"
	return c
}

// Owns reports whether a request is for the page.
func Owns(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/dev/"))
}

// Files serves the files of a folder, for pages that are being written: a page
// that is opened as a file has no origin, and is let in nowhere.
type Files struct{ root *os.Root }

// OpenFiles opens the folder. Nothing outside of it is served, whatever links
// there are, and nothing whose name begins with a dot.
func OpenFiles(dir string) (*Files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Files{root}, nil
}

// Has reports whether a request is for a file that there is.
func (f *Files) Has(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	name := f.name(r)
	if name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") || strings.HasSuffix(r.URL.Path, "/") {
		return false
	}
	info, err := f.root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// ServeHTTP serves a file that Has said yes to.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	file, err := f.root.Open(f.name(r))
	if err != nil {
		http.NotFound(w, r) // it went between the two looks
		return
	}
	defer file.Close()
	var changed time.Time
	if info, err := file.Stat(); err == nil {
		changed = info.ModTime()
	}
	http.ServeContent(w, r, f.name(r), changed, file)
}

// name returns the name that a request asks for, relative to the folder.
func (f *Files) name(r *http.Request) string {
	return strings.TrimPrefix(path.Clean(r.URL.Path), "/")
}

// Close closes the folder.
func (f *Files) Close() error { return f.root.Close() }
