package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"ringdown/protocol"
)

// item is one publication in a body.
type item struct {
	Channel, Type, Key, Dedupe, Trace string
	Data                              json.RawMessage // to the byte as it came; with Binary the bytes themselves
	Binary                            bool
}

// The fields of a publication, where its address does not say them.
var (
	publicationFields = []string{"type", "data", "data64", "key", "dedupe", "traceparent"}
	batchItemFields   = append([]string{"channel"}, publicationFields...)
	valueFields       = []string{"type", "data", "data64", "dedupe", "traceparent"}
)

// parseItem reads a publication that may have the named fields. where says which
// one of a batch it is.
func parseItem(body []byte, where string, known []string) (it item, err error) {
	fields, err := object(body, where, known...)
	if err != nil {
		return it, err
	}
	for _, f := range []struct {
		name string
		into *string
	}{{"channel", &it.Channel}, {"type", &it.Type}, {"key", &it.Key}, {"dedupe", &it.Dedupe}, {"traceparent", &it.Trace}} {
		if err := text(fields, where, f.name, f.into); err != nil {
			return it, err
		}
	}
	if it.Trace != "" {
		if err := protocol.ValidTrace(it.Trace); err != nil {
			return it, err
		}
	}
	it.Data = fields["data"]
	var coded string
	if v := fields["data64"]; v == nil || string(v) == "null" {
		return it, nil // some write null for what is not there
	}
	if err := text(fields, where, "data64", &coded); err != nil {
		return it, err
	}
	if it.Data != nil {
		return it, protocol.Errorf(protocol.CodeBadRequest, "%s has data and data64, which exclude each other", subject(where)).WithReason("field")
	}
	if it.Data, err = base64.StdEncoding.Strict().DecodeString(coded); err != nil {
		return it, protocol.Errorf(protocol.CodeBadRequest, "data64 of %s must be base64", subject(where)).WithReason("field")
	}
	it.Binary = true
	return it, nil
}

// applyHeaders takes over what the headers of a request say of its publication.
func (it *item) applyHeaders(r *http.Request) (err error) {
	it.applyTrace(r)
	it.Dedupe, err = dedupeOf(r, it.Dedupe)
	return err
}

// applyTrace lets the message belong to the trace of its request, unless it names one. A
// header that cannot be one stops no message: a trace that is broken is begun anew.
func (it *item) applyTrace(r *http.Request) {
	if header := r.Header.Get("Traceparent"); it.Trace == "" && header != "" && protocol.ValidTrace(header) == nil {
		it.Trace = header
	}
}

// parseBatch reads the body of a batch.
func parseBatch(text []byte) ([]item, error) {
	fields, err := object(text, "", "messages")
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(fields["messages"], &list); err != nil {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "field messages must be a list").WithReason("field")
	}
	if n := len(list); n == 0 || n > maxBatch {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "a batch has from 1 to %d messages, this one %d", maxBatch, n).WithReason("batch")
	}
	items := make([]item, len(list))
	for i, text := range list {
		if items[i], err = parseItem(text, fmt.Sprintf("messages[%d]", i), batchItemFields); err != nil {
			return nil, err
		}
	}
	return items, nil
}
