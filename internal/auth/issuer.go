package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringdown/protocol"
)

// maxTries is how many keys of a set a token that names none is tried with.
const maxTries = 8

// issuer is one entry of Options.JWT, ready for use and immutable.
type issuer struct {
	fixed     key     // used when set is nil
	set       *keySet // keys from a URL
	algorithm string  // of set: only this one, "" for any
	validator *jwt.Validator
	issuer    string // "" for any
	userClaim string
	leeway    time.Duration
}

// newIssuer checks an entry. source returns the key set for a URL.
func newIssuer(path string, o JWT, now func() time.Time, source func(url string) *keySet, p *problems) *issuer {
	i := &issuer{issuer: o.Issuer, userClaim: o.UserClaim}
	if i.userClaim == "" {
		i.userClaim = "sub"
	}
	leeway := max(o.Leeway, 0)
	if o.Leeway == 0 {
		leeway = MaxLeeway
	}
	i.leeway = leeway
	if leeway > MaxLeeway {
		p.add(path+".leeway", fmt.Sprintf("the leeway may be %v at most", MaxLeeway), "set the clocks instead")
	}
	rules := []jwt.ParserOption{jwt.WithTimeFunc(now), jwt.WithLeeway(leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt()}
	if o.Audience != "" {
		rules = append(rules, jwt.WithAudience(o.Audience))
	}
	if o.Issuer != "" {
		rules = append(rules, jwt.WithIssuer(o.Issuer))
	}
	i.validator = jwt.NewValidator(rules...)
	if o.Algorithm != "" && methods[o.Algorithm] == nil {
		p.add(path+".algorithm", "there is no such algorithm here", "there are "+algorithmNames)
		return i
	}
	i.source(path, o, source, p)
	return i
}

// source sets where the entry's keys come from.
func (i *issuer) source(path string, o JWT, set func(url string) *keySet, p *problems) {
	given := 0
	for _, yes := range []bool{len(o.Secret) > 0, len(o.PublicKey) > 0, o.JWKS != ""} {
		if yes {
			given++
		}
	}
	switch {
	case given != 1:
		p.add(path, "there must be exactly one of secret, public_key and jwks", "a second kind of token needs an entry of its own")
	case o.JWKS != "":
		if e := verifyURL(o.JWKS); e != nil {
			p.add(path+".jwks", e.What, e.Remedy)
			return
		}
		if o.Algorithm == "HS256" {
			p.add(path+".algorithm", "a key set holds public keys, and HS256 has none", "leave algorithm out")
			return
		}
		if o.KeyID != "" {
			p.add(path+".key_id", "a key set names its keys itself", "leave key_id out")
			return
		}
		i.set, i.algorithm = set(o.JWKS), o.Algorithm
	case len(o.Secret) > 0:
		if e := verifySecret(o.Secret); e != nil {
			p.add(path+".secret", e.What, e.Remedy)
			return
		}
		i.fix(path, o, "HS256", append([]byte(nil), o.Secret...), p)
	default:
		public, err := parsePublic(o.PublicKey)
		if err != nil {
			p.add(path+".public_key", err.Error(), "")
			return
		}
		algorithm, err := publicAlgorithm(public)
		if err != nil {
			p.add(path+".public_key", err.Error(), "make a new one")
			return
		}
		i.fix(path, o, algorithm, public, p)
	}
}

// fix sets the entry's only key, whose kind fits algorithm and no other.
func (i *issuer) fix(path string, o JWT, algorithm string, public any, p *problems) {
	if o.Algorithm != "" && o.Algorithm != algorithm {
		p.add(path+".algorithm", fmt.Sprintf("the key is for %s, not for %s", algorithm, o.Algorithm), "leave algorithm out, or give the right key")
	}
	i.fixed = key{id: o.KeyID, method: methods[algorithm], public: public}
}

// try judges t with the keys that are known. verified says that the signature
// is good, so that an error is about the claims.
func (i *issuer) try(t *token) (who *Identity, verified bool, err error) {
	keys, err := i.keys(t)
	if err != nil {
		return nil, false, err
	}
	for _, k := range keys {
		if k.verify(t) {
			who, err = i.judge(t)
			return who, true, err
		}
	}
	return nil, false, errSignature
}

// keys returns the keys that t may be signed with, as far as they are known
// here and now. Otherwise the error says why there is none: errKeyID if t names
// one that is not known.
func (i *issuer) keys(t *token) ([]key, error) {
	if i.set != nil {
		if !i.accepts(t.algorithm) {
			return nil, errAlgorithm
		}
		return i.set.known.Load().find(t, time.Now())
	}
	if t.algorithm != i.fixed.method.Alg() {
		return nil, errAlgorithm
	}
	if i.fixed.id != "" && t.named && t.kid != i.fixed.id {
		return nil, errKeyID
	}
	return []key{i.fixed}, nil
}

// names reports whether t names the key of this entry, which the operator named
// so; then no source knows better.
func (i *issuer) names(t *token) bool {
	return i.set == nil && t.named && i.fixed.id != "" && i.fixed.id == t.kid
}

func (i *issuer) accepts(algorithm string) bool {
	if i.algorithm != "" {
		return algorithm == i.algorithm
	}
	return algorithm != "HS256" && methods[algorithm] != nil
}

// judge checks the claims of a token whose signature is verified.
func (i *issuer) judge(t *token) (*Identity, error) {
	c, payload, err := t.claims()
	if err != nil {
		return nil, err
	}
	if err := i.validator.Validate(c); err != nil {
		return nil, i.explain(c, err)
	}
	who, err := c.identity(payload, i.userClaim)
	if err != nil {
		return nil, err
	}
	exp, err := c.date("exp")
	if err != nil {
		return nil, err
	}
	who.Expires, who.Leeway = exp.Time, i.leeway
	return who, nil
}

// explain turns what the validator says into what a client is told. That the
// token has expired comes last: a new one with the same fault would not help.
func (i *issuer) explain(c claims, err error) error {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e
	}
	_, expires := c["exp"]
	switch {
	case !expires:
		return errNoExpiry
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return errAudience
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return errIssuer
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		if iss, _ := c.GetIssuer(); i.issuer != "" && iss == "" {
			return errIssuer
		}
		return errAudience
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return errNotYet
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return errFuture
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	}
	return refuse("the claims of the token are not in order")
}
