package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
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
//go:embed client/client.js
var clientModule []byte

//go:embed client/client.js.map
var clientMap []byte

// ClientVersion is the version of the client that is served.
const ClientVersion = "0.1.0"

const (
	clientPath   = "/v1/client/" + ClientVersion + ".js"
	longLived    = "public, max-age=31536000, immutable"
	scriptType   = "text/javascript; charset=utf-8"
	sourceMapTyp = "application/json"
)

// packed is the module as most browsers take it.
var packed = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a good one
	_, _ = w.Write(clientModule)                          // into memory
	_ = w.Close()
	return b.Bytes()
})

// newestClient serves the client under an address that always has the newest.
func (h *Handler) newestClient(w http.ResponseWriter, r *http.Request) error {
	serveScript(w, r, "no-cache")
	return nil
}

// versionedClient serves the client, or its source map, under an address whose
// content never changes.
func (h *Handler) versionedClient(w http.ResponseWriter, r *http.Request) error {
	switch r.PathValue("file") {
	case ClientVersion + ".js":
		serveScript(w, r, longLived)
	case ClientVersion + ".js.map":
		serveFile(w, r, clientMap, sourceMapTyp, longLived)
	default:
		return protocol.Errorf(protocol.CodeNotFound, "this server has the client %s, at %s, and no other", ClientVersion, clientPath).WithReason("route")
	}
	return nil
}

func serveScript(w http.ResponseWriter, r *http.Request, caching string) {
	w.Header().Set("SourceMap", clientPath+".map")
	w.Header().Add("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || r.Header.Get("Range") != "" {
		serveFile(w, r, clientModule, scriptType, caching)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	serveFile(w, r, packed(), scriptType, caching)
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
