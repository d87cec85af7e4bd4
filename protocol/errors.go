package protocol

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Code says what kind of thing went wrong. Codes are added to, never changed or
// taken away, since programs on the other side decide by them.
type Code string

// The codes, as they stand in the data of an error message and in problem
// documents.
const (
	CodeBadRequest    Code = "bad_request"    // cannot be understood as it was sent
	CodeUnauthorized  Code = "unauthorized"   // no token, or not a good one
	CodeForbidden     Code = "forbidden"      // known, and not allowed
	CodeNotFound      Code = "not_found"      // no such channel, connection, key or route
	CodeTooLarge      Code = "too_large"      // over a limit of size
	CodeInvalidData   Code = "invalid_data"   // data does not fit the event's schema
	CodeRateLimited   Code = "rate_limited"   // too often; again after retry_after
	CodeLimitExceeded Code = "limit_exceeded" // too many, of subscriptions for instance
	CodeConflict      Code = "conflict"       // not in the state that this needs
	CodeNotSubscribed Code = "not_subscribed" // needs a subscription first
	CodeNoBackend     Code = "no_backend"     // a call, and nobody to answer it
	CodeBackendFailed Code = "backend_failed" // the application's backend failed
	CodeUnavailable   Code = "unavailable"    // not now; again later
	CodeTimeout       Code = "timeout"        // took too long; the outcome is unknown
	CodeInternal      Code = "internal"       // the server's own fault
)

// HTTPStatus returns the status that goes with c in an HTTP response, 500 for a
// code that this version does not know.
func (c Code) HTTPStatus() int {
	switch c {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeInvalidData:
		return http.StatusUnprocessableEntity
	case CodeRateLimited, CodeLimitExceeded:
		return http.StatusTooManyRequests
	case CodeConflict, CodeNotSubscribed:
		return http.StatusConflict
	case CodeNoBackend:
		return http.StatusNotImplemented
	case CodeBackendFailed:
		return http.StatusBadGateway
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	case CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// retryable says whether the same request may well succeed later, by itself.
func (c Code) retryable() bool {
	return c == CodeRateLimited || c == CodeUnavailable || c == CodeTimeout
}

// Error is an error that may be told to a client: its message says what happened
// and what to do, and holds no secret and nothing of the server's inside.
type Error struct {
	Code       Code
	Message    string
	Retryable  bool          // the same request may succeed later
	RetryAfter time.Duration // not before this; 0 says nothing
	// What refused, where that has a name; at most one of the three is set.
	Rule   string // a rule, such as "chat:{room}.allow.publish": never its text
	Limit  string // a limit, by its key in the configuration file
	Reason string // anything else, such as "origin" or "schema"
	// DidYouMean is the verb that was perhaps meant.
	DidYouMean string
}

// ErrorPages is where the server tells about its codes, one page for each.
const ErrorPages = "/v1/errors/"

// Href returns the address of the page that tells about e's code, on the server
// that e came from.
func (e *Error) Href() string { return ErrorPages + string(e.Code) }

// WithRule names the rule that refused, and returns e.
func (e *Error) WithRule(name string) *Error { e.Rule = name; return e }

// WithLimit names the limit that was reached, and returns e.
func (e *Error) WithLimit(name string) *Error { e.Limit = name; return e }

// WithReason says what refused where it is neither a rule nor a limit, and
// returns e.
func (e *Error) WithReason(name string) *Error { e.Reason = name; return e }

// Errorf makes an Error. It is retryable if its code is rate_limited,
// unavailable or timeout; set the field to say otherwise.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Retryable: code.retryable()}
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// AsError returns the *Error that is err or that err wraps. Any other error
// becomes a new one that says nothing of what err says: timeout for a deadline
// that passed, and otherwise internal. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok && e != nil {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Errorf(CodeTimeout, "this took too long; whether it was done is unknown")
	}
	return Errorf(CodeInternal, "the server failed at this; its log says why")
}

// AppendErrorData appends the data of an error message:
// {"code":…,"message":…,"retryable":…,"retry_after":…,"href":…}, retry_after in
// seconds, rounded up to a millisecond, and before href whichever of "rule",
// "limit", "reason" and "did_you_mean" is set.
func AppendErrorData(dst []byte, e *Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = AppendString(dst, string(e.Code))
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	dst = append(dst, `,"retryable":`...)
	dst = strconv.AppendBool(dst, e.Retryable)
	dst = append(dst, `,"retry_after":`...)
	ms := (max(e.RetryAfter, 0) + time.Millisecond - 1) / time.Millisecond
	dst = strconv.AppendFloat(dst, float64(ms)/1000, 'f', -1, 64)
	dst = appendNamed(dst, `,"rule":`, e.Rule)
	dst = appendNamed(dst, `,"limit":`, e.Limit)
	dst = appendNamed(dst, `,"reason":`, e.Reason)
	dst = appendNamed(dst, `,"did_you_mean":`, e.DidYouMean)
	dst = appendNamed(dst, `,"href":`, e.Href())
	return append(dst, '}')
}

func appendNamed(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return AppendString(append(dst, name...), value)
}
