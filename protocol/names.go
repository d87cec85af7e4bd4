package protocol

import "unicode/utf8"

// The characters of types and channels are few and ASCII on purpose. Nothing in
// them is a wildcard, a separator or a control character of a store, a broker, a
// log or a URL path, and no two of them look or normalize alike.
var (
	typeBytes    = charset("_.-")
	channelBytes = charset("_-.:/@=,~")
)

func charset(punctuation string) (set [256]bool) {
	for c := range 256 {
		set[c] = c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
	}
	for _, c := range []byte(punctuation) {
		set[c] = true
	}
	return set
}

// ValidType returns nil if s is 1 to MaxType bytes of A-Z a-z 0-9 _ . - and
// otherwise a bad_request *Error. Control verbs are valid types; see ValidEvent.
func ValidType(s string) error {
	if err := validLength("type", s, MaxType); err != nil {
		return err
	}
	return validBytes("type", s, 0, &typeBytes, "A-Z a-z 0-9 _ . -")
}

// ValidEvent returns nil if s can be the name of an event: a valid type that is
// not Reserved. Otherwise it returns a bad_request *Error.
func ValidEvent(s string) error {
	switch err := ValidType(s); {
	case err != nil:
		return err
	case Verb(s):
		return Errorf(CodeBadRequest, "%q is a verb of the protocol and cannot be the name of an event", s)
	case Reserved(s):
		return Errorf(CodeBadRequest, "%q cannot be the name of an event: names that begin with _ are kept for the protocol", s)
	}
	return nil
}

// ValidChannel returns nil if s is 1 to MaxChannel bytes of
// A-Z a-z 0-9 _ - . : / @ = , ~ with perhaps one $ before them, and otherwise a
// bad_request *Error. Who may use names with the $ is for the caller: see
// ServerOwned.
func ValidChannel(s string) error {
	if err := validLength("channel", s, MaxChannel); err != nil {
		return err
	}
	from := 0
	if ServerOwned(s) {
		if from = 1; len(s) == 1 {
			return Errorf(CodeBadRequest, "channel may not be $ alone")
		}
	}
	return validBytes("channel", s, from, &channelBytes, "A-Z a-z 0-9 _ - . : / @ = , ~")
}

// ServerOwned reports whether a channel belongs to the server itself: its name
// begins with $. Clients are refused there.
func ServerOwned(name string) bool { return len(name) > 0 && name[0] == '$' }

// ValidKey returns nil if s can be the key of a state channel: 1 to MaxKey bytes
// of UTF-8 without control characters. Otherwise it returns a bad_request *Error.
func ValidKey(s string) error { return validText("key", s, MaxKey) }

// ValidDedupe returns nil if s can be an idempotency key: 1 to MaxDedupe bytes
// of UTF-8 without control characters. Otherwise it returns a bad_request *Error.
func ValidDedupe(s string) error { return validText("dedupe", s, MaxDedupe) }

// ValidTrace returns nil if s can be a traceparent: 1 to MaxTrace bytes of UTF-8
// without control characters. Otherwise it returns a bad_request *Error.
func ValidTrace(s string) error { return validText("traceparent", s, MaxTrace) }

// ValidUser returns nil if s can be the id of a user: 1 to MaxUser bytes of
// UTF-8 without control characters. Otherwise it returns a bad_request *Error.
func ValidUser(s string) error { return validText("user id", s, MaxUser) }

func validLength(what, s string, limit int) error {
	switch {
	case s == "":
		return Errorf(CodeBadRequest, "%s may not be empty", what)
	case len(s) > limit:
		return Errorf(CodeBadRequest, "%s has %d bytes, the most is %d", what, len(s), limit)
	}
	return nil
}

func validBytes(what, s string, from int, set *[256]bool, allowed string) error {
	for i := from; i < len(s); i++ {
		if !set[s[i]] {
			r, _ := utf8.DecodeRuneInString(s[i:])
			return Errorf(CodeBadRequest, "%s may not contain %q, at byte %d: allowed are %s", what, r, i, allowed)
		}
	}
	return nil
}

func validText(what, s string, limit int) error {
	if err := validLength(what, s, limit); err != nil {
		return err
	}
	for i, r := range s {
		if r < 0x20 || r >= 0x7F && r < 0xA0 {
			return Errorf(CodeBadRequest, "%s may not contain the control character %U, at byte %d", what, r, i)
		}
		if r == utf8.RuneError && !utf8.ValidString(s) {
			return Errorf(CodeBadRequest, "%s is not valid UTF-8", what)
		}
	}
	return nil
}
