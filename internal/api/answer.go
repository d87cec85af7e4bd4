package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// answer writes a JSON document that has no data of messages in it.
func (h *Handler) answer(w http.ResponseWriter, status int, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // it is no HTML, and names read better as they are
	if err := e.Encode(v); err != nil {
		return err
	}
	return h.send(w, status, text.Bytes())
}

// send writes a JSON document. What carries data is put together byte by byte
// (document): data leaves as it came in, and an encoder would write it anew,
// without its spaces and with other escapes, so that signatures over it fail.
func (h *Handler) send(w http.ResponseWriter, status int, text []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error is the client's having gone: there is nobody left to tell
	return nil
}

// document is a JSON object under way.
type document []byte

func (d *document) name(name string) {
	open := byte(',')
	if len(*d) == 0 {
		open = '{'
	}
	*d = append(append(append(*d, open, '"'), name...), '"', ':')
}

func (d *document) text(name, value string) {
	d.name(name)
	*d = protocol.AppendString(*d, value)
}

func (d *document) number(name string, value uint64) {
	d.name(name)
	*d = strconv.AppendUint(*d, value, 10)
}

// raw adds a value that is JSON already.
func (d *document) raw(name string, value []byte) {
	d.name(name)
	*d = append(*d, value...)
}

// list adds n values, of which each appends one.
func (d *document) list(name string, n int, each func(dst []byte, i int) []byte) {
	d.name(name)
	*d = append(*d, '[')
	for i := range n {
		if i > 0 {
			*d = append(*d, ',')
		}
		*d = each(*d, i)
	}
	*d = append(*d, ']')
}

func (d *document) end() []byte { return append(*d, '}', '\n') }

// messages adds entries as they stand in an answer.
func (d *document) messages(name string, entries []*channel.Entry) {
	d.list(name, len(entries), func(dst []byte, i int) []byte { return entries[i].AppendText(dst) })
}

// members adds who is present.
func (d *document) members(name string, list []broker.Member) {
	d.list(name, len(list), func(dst []byte, i int) []byte { return list[i].AppendJSON(dst) })
}
