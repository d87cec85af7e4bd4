package protocol

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends m as one JSON text. A payload of bytes goes into data64.
// prev is left out where it is offset-1. m must be sound: ID and Data hold valid
// JSON if they are not nil (and Data is not Binary), numbers are in their range.
// Strings may be anything: what is not UTF-8 in them is replaced by U+FFFD.
func AppendJSON(dst []byte, m *Message) []byte {
	dst = appendHead(dst, m)
	switch {
	case m.Binary:
		dst = append(dst, `,"data64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, m.Data)
		dst = append(dst, '"')
	case m.Data != nil:
		dst = append(dst, `,"data":`...)
		dst = append(dst, m.Data...)
	}
	return append(dst, '}')
}

// AppendBinary appends m in the form of a binary frame: as JSON without data, a
// newline, and then the payload. It is for messages whose payload is bytes, and
// otherwise as AppendJSON.
func AppendBinary(dst []byte, m *Message) []byte {
	dst = appendHead(dst, m)
	dst = append(dst, '}', '\n')
	return append(dst, m.Data...)
}

// appendHead appends all but the payload and the closing brace.
func appendHead(dst []byte, m *Message) []byte {
	dst = append(dst, `{"type":`...)
	dst = AppendString(dst, m.Type)
	dst = appendField(dst, `,"channel":`, m.Channel)
	if m.ID != nil {
		dst = append(dst, `,"id":`...)
		dst = append(dst, m.ID...)
	}
	dst = appendField(dst, `,"epoch":`, m.Epoch)
	if m.Kept {
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendUint(dst, m.Offset, 10)
	}
	if m.sendsPrev() {
		dst = append(dst, `,"prev":`...)
		dst = strconv.AppendUint(dst, m.Prev, 10)
	}
	if m.Time != 0 {
		dst = append(dst, `,"time":`...)
		dst = strconv.AppendInt(dst, m.Time, 10)
	}
	dst = appendField(dst, `,"key":`, m.Key)
	dst = appendField(dst, `,"from":`, m.From)
	dst = appendField(dst, `,"dedupe":`, m.Dedupe)
	dst = appendField(dst, `,"exclude":`, m.Exclude)
	dst = appendField(dst, `,"traceparent":`, m.Trace)
	dst = appendField(dst, `,"token":`, m.Token)
	if m.Since != nil {
		dst = appendSince(dst, m.Since)
	}
	if m.Channels != nil {
		dst = appendChannels(dst, m.Channels)
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	return AppendString(dst, value)
}

func appendSince(dst []byte, p *Position) []byte {
	dst = append(dst, `,"since":{"epoch":`...)
	dst = AppendString(dst, p.Epoch)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendUint(dst, p.Offset, 10)
	return append(dst, '}')
}

func appendChannels(dst []byte, list []Subscription) []byte {
	dst = append(dst, `,"channels":[`...)
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if s.Since == nil && s.Data == nil {
			dst = AppendString(dst, s.Channel)
			continue
		}
		dst = append(dst, `{"channel":`...)
		dst = AppendString(dst, s.Channel)
		if s.Since != nil {
			dst = appendSince(dst, s.Since)
		}
		if s.Data != nil {
			dst = append(dst, `,"data":`...)
			dst = append(dst, s.Data...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// AppendString appends s as a JSON string, quotes included. Only what JSON asks
// for is escaped; what is not UTF-8 is replaced by U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[done:i]...)
				dst = append(dst, "\ufffd"...)
				done = i + 1
			}
			i += size
			continue
		}
		dst = append(dst, s[done:i]...)
		dst = appendEscape(dst, c)
		i++
		done = i
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
}
