package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"ringdown/protocol"
)

// The client for pages without a build, as sdk/typescript builds it; a test there
// shows that these are what its sources make.
//
//go:embed client/*.js client/*.js.map
var clientFiles embed.FS

// ClientVersion is the version of the client that is served.
const ClientVersion = "0.1.0"

const (
	clientPath   = "/v1/client/" + ClientVersion
	longLived    = "public, max-age=31536000, immutable"
	scriptType   = "text/javascript; charset=utf-8"
	sourceMapTyp = "application/json"
)

// script is one module of the client.
type script struct {
	plain, sourceMap []byte
	packed           func() []byte // as most browsers take it
}

// scripts are the modules by what stands between the version and .js in their
// addresses: the client, the client with everything, and the worker that serves tabs.
var scripts = sync.OnceValue(func() map[string]script {
	all := make(map[string]script)
	for suffix, name := range map[string]string{"": "client", ".all": "all", ".worker": "worker"} {
		plain, _ := clientFiles.ReadFile("client/" + name + ".js") // embedded, or this had not been built
		sourceMap, _ := clientFiles.ReadFile("client/" + name + ".js.map")
		all[suffix] = script{plain, sourceMap, sync.OnceValue(func() []byte { return gzipped(plain) })}
	}
	return all
})

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a good one
	_, _ = w.Write(content)                               // into memory
	_ = w.Close()
	return b.Bytes()
}

// newestClient serves the client under an address that always has the newest.
func (h *Handler) newestClient(w http.ResponseWriter, r *http.Request) error {
	serveScript(w, r, "", "no-cache")
	return nil
}

// clientFile serves a module of the client, or its source map, under an address whose
// content never changes, or under one that has the newest: all.js and worker.js.
func (h *Handler) clientFile(w http.ResponseWriter, r *http.Request) error {
	file := r.PathValue("file")
	if name, ok := strings.CutSuffix(file, ".js"); ok && name != "" {
		if _, known := scripts()["."+name]; known {
			serveScript(w, r, "."+name, "no-cache")
			return nil
		}
	}
	rest, ok := strings.CutPrefix(file, ClientVersion)
	suffix, isMap := strings.CutSuffix(rest, ".map")
	suffix, isScript := strings.CutSuffix(suffix, ".js")
	s, known := scripts()[suffix]
	switch {
	case !ok || !isScript || !known:
		return protocol.Errorf(protocol.CodeNotFound, "this server has the client %s, at %s.js, %s.all.js and %s.worker.js, and no other", ClientVersion, clientPath, clientPath, clientPath).WithReason("route")
	case isMap:
		serveFile(w, r, s.sourceMap, sourceMapTyp, longLived)
	default:
		serveScript(w, r, suffix, longLived)
	}
	return nil
}

func serveScript(w http.ResponseWriter, r *http.Request, suffix, caching string) {
	s := scripts()[suffix]
	w.Header().Set("SourceMap", clientPath+suffix+".js.map")
	w.Header().Add("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || r.Header.Get("Range") != "" {
		serveFile(w, r, s.plain, scriptType, caching)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	serveFile(w, r, s.packed(), scriptType, caching)
}

func serveFile(w http.ResponseWriter, r *http.Request, content []byte, typ, caching string) {
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("Content-Type", typ)
	h.Set("Cache-Control", caching)
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
