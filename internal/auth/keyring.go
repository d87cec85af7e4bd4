package auth

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/MicahParks/jwkset"
)

// maxSetKeys is how many usable keys a key set may hold.
const maxSetKeys = 64

// keyring is what is known of a key set. It is immutable.
type keyring struct {
	keys []heldKey
}

// heldKey is a key of a set, or one that has just left it.
type heldKey struct {
	key
	until time.Time // not good any more from then on; zero while it is in the set
}

func (h *heldKey) good(now time.Time) bool { return h.until.IsZero() || now.Before(h.until) }

// find returns the keys that t may be signed with: those with its kid and
// algorithm, or all of its algorithm if it names none. The error is errKeyID if
// there is no key of that name.
func (r *keyring) find(t *token, now time.Time) ([]key, error) {
	var found []key
	known := false
	for i := range r.keys {
		h := &r.keys[i]
		if t.named && h.id != t.kid || !h.good(now) {
			continue
		}
		known = true
		if h.method.Alg() == t.algorithm {
			found = append(found, h.key)
		}
	}
	switch {
	case !known:
		return nil, errKeyID
	case len(found) == 0:
		return nil, errAlgorithm
	case !t.named && len(found) > maxTries:
		return nil, errNoKeyID
	}
	return found, nil
}

// merge returns the keyring for a set that now holds fresh. Keys that have left
// the set stay good until overlap has passed, for the tokens that were signed
// with them a moment ago.
func (r *keyring) merge(fresh []key, now time.Time, overlap time.Duration) *keyring {
	next := &keyring{keys: make([]heldKey, 0, len(fresh))}
	for _, k := range fresh {
		next.keys = append(next.keys, heldKey{key: k})
	}
	for _, old := range r.keys {
		if slices.ContainsFunc(fresh, old.equal) || !old.good(now) {
			continue
		}
		if old.until.IsZero() {
			old.until = now.Add(overlap)
		}
		next.keys = append(next.keys, old)
	}
	return next
}

// equal reports whether k and o are the same public key under the same name.
func (k key) equal(o key) bool {
	p, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == o.id && p.Equal(o.public)
}

// parseSet reads the keys of a JWK set (RFC 7517 §5) that can verify signatures
// here; the others are counted. A set without any is an error: it is more likely
// that something answered in the source's place than that all keys are gone.
func parseSet(body []byte) (keys []key, ignored int, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, 0, errors.New("the answer is not a JWK set")
	}
	for _, raw := range set.Keys {
		k, err := parseJWK(raw)
		if err != nil {
			ignored++
			continue
		}
		if keys = append(keys, k); len(keys) > maxSetKeys {
			return nil, 0, fmt.Errorf("the JWK set has more than %d keys", maxSetKeys)
		}
	}
	if len(keys) == 0 {
		return nil, ignored, fmt.Errorf("the JWK set has no key for %s", algorithmNames)
	}
	return keys, ignored, nil
}

func parseJWK(raw []byte) (key, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &m); err != nil {
		return key{}, err
	}
	if m.USE != "" && m.USE != jwkset.UseSig || len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return key{}, errors.New("not for signatures")
	}
	// Certificates say nothing that is used here, and are not to be fetched.
	m.X5C, m.X5U, m.X5T, m.X5TS256 = nil, "", "", ""
	j, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, err
	}
	algorithm, err := publicAlgorithm(j.Key())
	if err != nil {
		return key{}, err
	}
	if m.ALG != "" && m.ALG.String() != algorithm {
		return key{}, errors.New("for another algorithm")
	}
	return key{id: m.KID, method: methods[algorithm], public: j.Key()}, nil
}
