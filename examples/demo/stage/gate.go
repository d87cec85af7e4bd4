package stage

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringdown/protocol"
)

// TokenLife is how long a token from [Gate.Token] is good for.
const TokenLife = 12 * time.Hour

const (
	secretFile = "token.secret"
	secretSize = 32
)

// A name becomes part of a channel name (user:{user}:notifications), so it may
// not contain the ':' that separates levels, and it is short enough to be shown.
var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)

// Caller is who is asking.
type Caller struct {
	User  string
	Staff bool
	// Key is true for a program that presented the API key: it is staff, and
	// may act for any customer.
	Key bool
}

// Gate mints the demo's user tokens and tells callers apart. It is safe for
// concurrent use.
type Gate struct {
	secret []byte
	apiKey string
	key    [sha256.Size]byte // of apiKey
	parser *jwt.Parser
}

// OpenGate reads the signing secret kept in dir, or makes one at the first
// start, so that the tokens of open pages survive a restart. apiKey is the key
// that programs present; it must not be empty.
func OpenGate(dir, apiKey string) (*Gate, error) {
	if apiKey == "" {
		return nil, errors.New("stage: the API key is empty")
	}
	secret, err := keptSecret(filepath.Join(dir, secretFile))
	if err != nil {
		return nil, err
	}
	return &Gate{
		secret: secret,
		apiKey: apiKey,
		key:    sha256.Sum256([]byte(apiKey)),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired()),
	}, nil
}

func keptSecret(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if err == nil {
		if len(secret) < secretSize {
			return nil, fmt.Errorf("stage: %s holds %d bytes, a signing secret needs %d: delete the file to get a new one", path, len(secret), secretSize)
		}
		return secret, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("stage: the signing secret: %w", err)
	}
	// Hex, so that the same bytes can stand in a configuration file.
	secret = fmt.Appendf(nil, "%x", randomBytes(secretSize))
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		return nil, fmt.Errorf("stage: the signing secret: %w", err)
	}
	return secret, nil
}

// RandomKey returns a fresh API key with 128 bits of randomness.
func RandomKey() string { return fmt.Sprintf("%x", randomBytes(16)) }

func randomBytes(n int) []byte {
	p := make([]byte, n)
	rand.Read(p) // never fails: see crypto/rand
	return p
}

// Env answers the env: values of a configuration with the gate's own secret and
// key, and any other from the environment. So the file that is shown is the file
// in use, and the secrets stay out of the process's environment.
func (g *Gate) Env(name string) (string, bool) {
	switch name {
	case "RINGDOWN_JWT_SECRET":
		return string(g.secret), true
	case "RINGDOWN_API_KEY":
		return g.apiKey, true
	}
	return os.LookupEnv(name)
}

// CheckName says what is wrong with a user name, as a *protocol.Error.
func CheckName(user string) error {
	if !userName.MatchString(user) {
		return protocol.Errorf(protocol.CodeBadRequest, "a user name is 1 to 32 letters, digits, '-', '_' or '.', and begins with a letter or digit")
	}
	return nil
}

// Token mints a token for user. A demo lets everybody be anybody: users named
// "staff" or "staff-…" get the staff role.
func (g *Gate) Token(user string) (string, error) {
	if err := CheckName(user); err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"sub": user, "exp": time.Now().Add(TokenLife).Unix()}
	if user == "staff" || strings.HasPrefix(user, "staff-") {
		claims["roles"] = []string{"staff"}
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(g.secret)
}

// ServeToken answers GET ?user=NAME with {"token":"…"}.
func (g *Gate) ServeToken(w http.ResponseWriter, r *http.Request) {
	token, err := g.Token(r.URL.Query().Get("user"))
	if err != nil {
		Refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	Reply(w, http.StatusOK, map[string]string{"token": token})
}

// Caller says who sent r, from "Authorization: Bearer" with a user token or
// the API key. The error is a *protocol.Error with code unauthorized, and
// never contains what was presented.
func (g *Gate) Caller(r *http.Request) (Caller, error) {
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || presented == "" {
		return Caller{}, protocol.Errorf(protocol.CodeUnauthorized, "say who you are: Authorization: Bearer with a token from /demo/token?user=NAME or the API key")
	}
	if len(presented) > protocol.MaxToken {
		return Caller{}, protocol.Errorf(protocol.CodeUnauthorized, "the token is longer than %d bytes", protocol.MaxToken)
	}
	// Equal-length digests make the comparison independent of the key's length.
	digest := sha256.Sum256([]byte(presented))
	if subtle.ConstantTimeCompare(digest[:], g.key[:]) == 1 {
		return Caller{User: "api", Staff: true, Key: true}, nil
	}
	var claims claims
	if _, err := g.parser.ParseWithClaims(presented, &claims, func(*jwt.Token) (any, error) { return g.secret, nil }); err != nil {
		return Caller{}, protocol.Errorf(protocol.CodeUnauthorized, "the token is not valid or has expired: fetch a new one from /demo/token?user=NAME")
	}
	return claims.caller()
}

type claims struct {
	jwt.RegisteredClaims
	Roles []string `json:"roles"`
}

func (c *claims) caller() (Caller, error) {
	if !userName.MatchString(c.Subject) {
		return Caller{}, protocol.Errorf(protocol.CodeUnauthorized, "the token names no usable user")
	}
	return Caller{User: c.Subject, Staff: slices.Contains(c.Roles, "staff")}, nil
}

// CallerOf says who sent a call over the socket, where the server has checked
// the token already and hands over its claims as JSON.
func CallerOf(raw json.RawMessage) (Caller, error) {
	var c claims
	if err := json.Unmarshal(raw, &c); err != nil {
		return Caller{}, protocol.Errorf(protocol.CodeUnauthorized, "sign in first: this call needs a user")
	}
	return c.caller()
}
