package auth

import (
	"errors"
	"strings"
	"time"

	"ringdown/protocol"
)

// ErrExpired refuses a token that was good and is over. Its holder should fetch
// a new one. It is a *protocol.Error, as all errors of Verifier.Token are.
var ErrExpired error = refuse("the token has expired; fetch a new one")

// IsExpired reports whether err says that a token has expired.
func IsExpired(err error) bool { return errors.Is(err, ErrExpired) }

// The other refusals. They are shared, so nobody may change them.
var (
	errShape      = refuse("this is not a JSON Web Token: it has three parts of base64url without padding, divided by dots")
	errEncrypted  = refuse("this is an encrypted token (JWE); a signed one (JWS) is needed")
	errHeader     = refuse("the header of the token cannot be understood: it must be a JSON object that names nothing twice, with strings for alg and kid")
	errCritical   = refuse("the header of the token demands extensions (crit), and this server has none")
	errAlgorithm  = refuse("the token is signed with an algorithm for which this server has no key")
	errSignature  = refuse("the signature of the token does not fit any key of this server")
	errNoKeyID    = refuse("the token must say in its header which key it is signed with (kid)")
	errKeyID      = refuse("the token names a key (kid) that this server does not know")
	errNothing    = refuse("this server has no key to verify tokens with (auth.jwt in its configuration)")
	errPayload    = refuse("the payload of the token cannot be understood: it must be a JSON object that names nothing twice")
	errNotYet     = refuse("the token is not valid yet (nbf); if it is new, a clock is wrong")
	errFuture     = refuse("the token was issued in the future (iat); a clock is wrong")
	errNoExpiry   = refuse("the token has no exp claim, so it would be valid forever")
	errAudience   = refuse("the token is for somebody else: its aud claim does not hold the audience of this server")
	errIssuer     = refuse("the token is from somebody else: its iss claim is not the issuer that this server trusts")
	errAudForm    = refuse("the aud claim of the token must be a string or a list of strings")
	errIssuerForm = refuse("the iss claim of the token must be a string")
)

func refuse(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.CodeUnauthorized, format, args...)
}

// unavailable says that a token can be judged only later: the key that it names
// is not known and cannot be asked for now.
func unavailable(after time.Duration) *protocol.Error {
	e := protocol.Errorf(protocol.CodeUnavailable, "the token names a key (kid) that this server does not know and cannot ask for right now; try again")
	e.RetryAfter = max(after, time.Second).Round(time.Second)
	return e
}

// OptionError is one thing that is wrong in Options or in a list of origins. It
// does not hold the value, which may be a secret.
type OptionError struct {
	Path   string // where: "jwt[0].secret", "keys[1]", "origins[2]"
	What   string // what is wrong
	Remedy string // what to do about it
}

func (e *OptionError) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	b.WriteString(": ")
	b.WriteString(e.What)
	if e.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(e.Remedy)
	}
	return b.String()
}
