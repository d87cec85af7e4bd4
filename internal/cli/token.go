package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ringdown/internal/auth"
)

func tokenCommand(g *global) *cobra.Command {
	var user, secret, keyFile, algorithm, audience, issuer, kid, claims string
	life := days(12 * time.Hour)
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a user token",
		Long: `Make a JSON Web Token for a user, signed with the secret (HS256) or the private
key that your configuration's auth.jwt knows. For trying things out, and for
programs that have no JWT library.`,
		Example: `  RINGDOWN_JWT_SECRET=… ringdown token --user ann
  ringdown token --user ann --expires 7d --claims '{"rooms":["lobby"]}'
  ringdown token --user ann --algorithm ES256 --key private.pem`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key := auth.JWT{Algorithm: algorithm, KeyID: kid, Audience: audience, Issuer: issuer}
			if keyFile != "" {
				pem, err := os.ReadFile(keyFile)
				if err != nil {
					return err
				}
				key.PrivateKey = pem
			} else {
				if secret == "" {
					secret = os.Getenv("RINGDOWN_JWT_SECRET")
				}
				if secret == "" {
					return usage("token needs a secret: set RINGDOWN_JWT_SECRET or give --key FILE\nMake one with: openssl rand -base64 32")
				}
				key.Secret = []byte(secret)
			}
			all := map[string]any{}
			if claims != "" {
				if err := json.Unmarshal([]byte(claims), &all); err != nil {
					return usage("--claims must be a JSON object: %w", err)
				}
			}
			now := time.Now()
			all["sub"], all["iat"], all["exp"] = user, now.Unix(), now.Add(time.Duration(life)).Unix()
			if audience != "" {
				all["aud"] = audience
			}
			if issuer != "" {
				all["iss"] = issuer
			}
			token, err := auth.Sign(key, all)
			if err != nil {
				return err
			}
			fmt.Fprintln(g.streams.Out, token)
			return nil
		},
	}
	f := c.Flags()
	f.StringVarP(&user, "user", "u", "", "whose token it is (needed)")
	f.Var(&life, "expires", "how long it is valid, as in 30m, 12h or 7d")
	f.StringVar(&secret, "secret", "", "secret for HS256; better in RINGDOWN_JWT_SECRET, where other users of the machine cannot read it")
	f.StringVar(&keyFile, "key", "", "file with a private key in PEM, for the other algorithms")
	f.StringVar(&algorithm, "algorithm", "HS256", "HS256, RS256, ES256 or EdDSA")
	f.StringVar(&kid, "kid", "", "key id to put into the token's header")
	f.StringVar(&audience, "audience", "", "claim aud")
	f.StringVar(&issuer, "issuer", "", "claim iss")
	f.StringVar(&claims, "claims", "", "further claims, a JSON object")
	_ = c.MarkFlagRequired("user")
	_ = c.MarkFlagFilename("key")
	_ = c.RegisterFlagCompletionFunc("algorithm", words("HS256", "RS256", "ES256", "EdDSA"))
	return c
}
