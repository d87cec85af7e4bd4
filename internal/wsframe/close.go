package wsframe

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// NoStatus is what ParseClose returns for a close frame without a code. It is
// never sent (RFC 6455 §7.4.1).
const NoStatus = 1005

// MaxReason is the most bytes of the reason in a close frame.
const MaxReason = MaxControl - 2

// What ParseClose refuses.
var (
	ErrClosePayload = errors.New("wsframe: close frame with half a code or too long a reason") // close with 1002
	ErrCloseCode    = errors.New("wsframe: close code that may not be sent")                   // close with 1002
	ErrCloseReason  = errors.New("wsframe: close reason is not UTF-8")                         // close with 1007
)

// ValidCloseCode reports whether an endpoint may send code in a close frame: the
// codes of RFC 6455 §7.4.1 and of the IANA registry that may travel, and
// 3000 to 4999 (§7.4.2).
func ValidCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

// AppendClose appends the payload of a close frame. A reason that is too long is
// cut before the rune that passes MaxReason; one that is not UTF-8 is left out.
// For NoStatus nothing is appended. It panics on a code that may not be sent.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == NoStatus {
		return dst
	}
	if !ValidCloseCode(code) {
		panic("wsframe: close code that may not be sent")
	}
	dst = binary.BigEndian.AppendUint16(dst, code)
	if !utf8.ValidString(reason) {
		return dst
	}
	if len(reason) > MaxReason {
		cut := MaxReason
		for !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	return append(dst, reason...)
}

// ParseClose reads the payload of a close frame. Without a payload the code is
// NoStatus. The reason is a copy. The errors say which code to answer with.
func ParseClose(p []byte) (code uint16, reason string, err error) {
	switch {
	case len(p) == 0:
		return NoStatus, "", nil
	case len(p) == 1 || len(p) > MaxControl:
		return 0, "", ErrClosePayload
	}
	code = binary.BigEndian.Uint16(p)
	if !ValidCloseCode(code) {
		return 0, "", ErrCloseCode
	}
	if !utf8.Valid(p[2:]) {
		return 0, "", ErrCloseReason
	}
	return code, string(p[2:]), nil
}
