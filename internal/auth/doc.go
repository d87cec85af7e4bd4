// Package auth decides who somebody is: JSON Web Tokens for users (RFC 7519,
// signed as RFC 7515 says), keys for servers that call the REST API, and the
// allow-list of origins for browsers.
//
// What is trusted: Options, which the operator wrote, and the key sets that the
// operator's URLs serve. What is not: every byte of a token until its signature
// is verified, and of a verified token all but its claims. So
//
//   - a token is measured and its dots are counted before anything is decoded;
//   - the algorithm belongs to the key. A token's header may only agree with it;
//   - kid is compared with names that are known and never leaves the process;
//     jku, jwk, x5u and x5c of a header are not read at all;
//   - claims are decoded after the signature is verified, and only once.
//
// A Verifier holds its keys in one immutable state that Reload swaps, so that
// verifying takes no lock. Keys from a JWKS URL live in a keySet, each with one
// goroutine that alone fetches: a token whose key is known never waits, and all
// tokens with an unknown kid wait for the same fetch, of which there is at most
// one a minute.
//
// No error and no log line of this package holds a token, a secret, a key, or
// anything else that a client sent.
package auth
