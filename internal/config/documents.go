package config

// Documents say who may read what the server tells about itself.
const (
	DocumentsPublic = "public"
	DocumentsKey    = "key"
)

// documents reads who may read the documents and the metrics. In dev mode
// everybody may, unless the file says otherwise.
func (f fields) documents() string {
	if word := f.text("documents"); word != "" {
		return word
	}
	if f.opts.Dev {
		return DocumentsPublic
	}
	return DocumentsKey
}

// metrics reads the address that the metrics have to themselves.
func (f fields) metrics() string {
	m, ok := f.mapping("metrics")
	if !ok {
		return ""
	}
	_, n := m.get("listen")
	if n == nil || !m.isText("listen", n) || !m.listenAddress(n) {
		return ""
	}
	return n.text
}
