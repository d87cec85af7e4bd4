package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// mostBody is more than the body takes that names as many channels as there can
// be, each with a position, and a cursor.
const mostBody = 64 << 10

// plainJSON refuses a body that its header says is not JSON as it stands, or
// which is too large, before any of it is read.
func (d Door) plainJSON(w http.ResponseWriter, r *http.Request) bool {
	status, why := 0, ""
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, coding := params["charset"], r.Header.Get("Content-Encoding")
	switch {
	case coding != "" && !strings.EqualFold(coding, "identity"):
		status, why = http.StatusUnsupportedMediaType, "a body is not taken with a Content-Encoding; send the JSON text itself, without compression"
	case err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii"):
		status, why = http.StatusBadRequest, "the body must be JSON in UTF-8: send Content-Type: application/json"
	case r.ContentLength > mostBody:
		w.Header().Set("Connection", "close")
		d.Refuse(w, r, http.StatusRequestEntityTooLarge, errTooLarge)
		return false
	default:
		return true
	}
	w.Header().Set("Connection", "close") // nobody reads the body
	d.Refuse(w, r, status, protocol.Errorf(protocol.CodeBadRequest, "%s", why).WithReason("content_type"))
	return false
}

var errTooLarge = protocol.Errorf(protocol.CodeTooLarge, "the body has more than %d bytes", mostBody)

// fields are what a body may have, for the answer to one that has others.
const fields = "channels, cursor and, to a poll, session"

// readBody reads what a POST asks for: {"channels":[{"channel","since"?,"last"?,"rate"?}],"cursor"?}.
// A field that is not known is refused by its name: misspelt, it would be passed
// over, and the client begin anew or follow nothing.
func readBody(w http.ResponseWriter, r *http.Request, q url.Values) (*Asked, error) {
	for _, name := range []string{"channel", "last", "rate", "cursor", "session"} {
		if q.Has(name) {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "a POST says %s in its body, not in the address", name).WithReason("field")
		}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, errTooLarge
	case err != nil:
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the body did not arrive whole").WithReason("body")
	case bytes.HasPrefix(text, []byte("\xEF\xBB\xBF")):
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the body begins with a byte order mark (BOM): send UTF-8 without one").WithReason("body")
	}
	a := &Asked{Query: q}
	var list []byte
	at := ""
	err = protocol.Members("the body", text, func(name string, value []byte) (err error) {
		switch name {
		case "channels":
			list = value
		case "cursor":
			at, err = protocol.Text(name, value, cursor.MaxText)
		case "session":
			a.Session, err = protocol.Text(name, value, 256)
		default:
			err = strange("the body", name, fields)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	// What a client says that comes back by itself is newer than its body, which
	// stays as it was.
	back, err := cursor.Parse(position(r.Header, q))
	if err != nil {
		return nil, err
	}
	if a.Places, err = cursor.Parse(at); err != nil {
		return nil, err
	}
	a.Resumed = at != "" || back != nil
	if a.Follow, err = readChannels(list, a.Places, back); err != nil {
		return nil, err
	}
	a.Places = merge(a.Places, back)
	return a, nil
}

// merge returns the places of both; those of newer go before.
func merge(places, newer cursor.Cursor) cursor.Cursor {
	if len(places) == 0 {
		return newer
	}
	for k, at := range newer {
		places[k] = at
	}
	return places
}

func strange(where, name, known string) error {
	return protocol.Errorf(protocol.CodeBadRequest, "%s has a field %.40q, and it can have %s", where, name, known).WithReason("field")
}

// readChannels reads the list of channels. Where a channel begins is said by
// newer, or else by its own since, or else by places.
func readChannels(list []byte, places, newer cursor.Cursor) ([]session.Follow, error) {
	if len(list) == 0 || string(list) == "null" {
		return nil, nil
	}
	errList := protocol.Errorf(protocol.CodeBadRequest, `the field channels must be an array of {"channel":…}`).WithReason("field")
	in := json.NewDecoder(bytes.NewReader(list))
	if open, err := in.Token(); err != nil || open != json.Delim('[') {
		return nil, errList
	}
	var follow []session.Follow
	seen := map[string]bool{}
	for in.More() {
		if len(follow) == cursor.MaxChannels {
			return nil, errMany
		}
		var item json.RawMessage
		if err := in.Decode(&item); err != nil {
			return nil, errList
		}
		f, err := readChannel(item)
		if err != nil {
			return nil, err
		}
		if seen[f.Channel] {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "channel %.40q is named twice", f.Channel).WithReason("field")
		}
		seen[f.Channel] = true
		if at := newer.Find(f.Channel); at != nil {
			f.Since = at
		} else if f.Since == nil {
			f.Since = places.Find(f.Channel)
		}
		follow = append(follow, f)
	}
	return follow, nil
}

var errMany = protocol.Errorf(protocol.CodeLimitExceeded, "one request follows at most %d channels, which is what a cursor can hold", cursor.MaxChannels).WithLimit("stream.channels")

// readChannel reads one item of the list: an object, or no more than a name.
func readChannel(item []byte) (f session.Follow, err error) {
	if item[0] == '"' {
		f.Channel, err = protocol.Text("channel", item, mostBody)
		return f, err
	}
	err = protocol.Members("an item of channels", item, func(name string, value []byte) (err error) {
		switch name {
		case "channel":
			f.Channel, err = protocol.Text(name, value, mostBody)
		case "since":
			f.Since, err = readSince(value)
		case "last":
			var n *uint64
			if n, err = protocol.Whole(name, value); n != nil {
				if *n < 1 || *n > maxLast {
					return errLast
				}
				f.Last = int(*n)
			}
		case "rate":
			var n *float64
			if n, err = protocol.Number(name, value); n != nil {
				if _, ok := channel.NewPace(*n); !ok {
					return errRate
				}
				f.Rate = *n
			}
		default:
			err = strange("an item of channels", name, "channel, since, last and rate")
		}
		return err
	})
	switch {
	case err != nil:
	case f.Channel == "":
		err = protocol.Errorf(protocol.CodeBadRequest, "an item of channels needs the field channel").WithReason("field")
	case f.Since != nil && f.Last > 0:
		err = protocol.Errorf(protocol.CodeBadRequest, "since and last exclude each other").WithReason("field")
	}
	return f, err
}

func readSince(value []byte) (*cursor.Place, error) {
	if string(value) == "null" {
		return nil, nil
	}
	at := new(cursor.Place)
	var offset *uint64
	err := protocol.Members("since", value, func(name string, value []byte) (err error) {
		switch name {
		case "epoch":
			at.Epoch, err = protocol.Text(name, value, 64)
		case "offset":
			offset, err = protocol.Whole(name, value)
		default:
			err = strange("since", name, "epoch and offset")
		}
		return err
	})
	if err == nil && (at.Epoch == "" || offset == nil || *offset > protocol.MaxOffset) {
		err = protocol.Errorf(protocol.CodeBadRequest, `since must be {"epoch":…,"offset":…} as subscribed and the messages have them`).WithReason("field")
	}
	if err != nil {
		return nil, err
	}
	at.Offset = *offset
	return at, nil
}
