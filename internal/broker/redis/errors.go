package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/redis/rueidis"

	"ringdown/protocol"
)

var errDown = errors.New("redis: there is no connection")

// reason says in plain words why a server does not let this node in, for those
// reasons that its configuration can mend.
func (b *Broker) reason(err error) error {
	if err == nil {
		return nil
	}
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	kind := ""
	if r, ok := rueidis.IsRedisErr(err); ok {
		kind = word(r.Error())
	}
	words := ""
	switch {
	case kind == "WRONGPASS":
		words = "it does not take this username and password"
	case kind == "NOAUTH":
		words = "it wants a password, and none is configured"
	case kind == "NOPERM":
		words = "its user lacks a right: docs/clustering.md says which commands, keys and channels it has to be let use"
	case errors.As(err, &untrusted):
		words = "its certificate is not trusted; ca names who signed it"
	case b.opts.TLS == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		words = "it hung up; if it speaks TLS, write tls: true"
	case b.opts.TLS != nil && (errors.As(err, &noTLS) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)):
		words = "it did not answer in TLS; if it speaks none, remove tls: true"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", words, err)
}

// failure is what a client is told of an error.
func (b *Broker) failure(err error) *protocol.Error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e
	}
	retry := func(code protocol.Code, format string, args ...any) *protocol.Error {
		return &protocol.Error{Code: code, Message: fmt.Sprintf(format, args...), Retryable: true, RetryAfter: time.Second}
	}
	if r, ok := rueidis.IsRedisErr(err); ok && halfway(r.Error()) {
		return retry(protocol.CodeUnavailable, "the message broker broke off (%s); it is not known whether it did as asked, so try again with the same dedupe key", word(r.Error()))
	}
	if r, ok := rueidis.IsRedisErr(err); ok {
		// Redis' own words may tell of addresses and passwords: the log has them.
		return retry(protocol.CodeUnavailable, "the message broker refused (%s); nothing was done, try again", word(r.Error()))
	}
	switch {
	case errors.Is(err, errDown):
		return retry(protocol.CodeUnavailable, "the message broker is not reachable; nothing was done, try again")
	case errors.Is(err, errGarbled):
		return retry(protocol.CodeUnavailable, "the message broker gave an answer that cannot be read")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return retry(protocol.CodeTimeout, "the message broker did not answer within %v; it is not known whether it did as asked, so try again with the same dedupe key", b.opts.Timeout)
	}
	return retry(protocol.CodeUnavailable, "the connection to the message broker broke; it is not known whether it did as asked, so try again with the same dedupe key")
}

// halfway reports whether an error is one of a command in a script, which leaves
// what the script wrote before. A server that takes no writes refuses the first.
func halfway(text string) bool {
	switch word(text) {
	case "OOM", "READONLY", "MISCONF", "NOREPLICAS":
		return false
	}
	return strings.Contains(text, "user_script")
}
