package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ringdown/protocol"
)

// Codes of the client's own, beside those of the server in package protocol.
const (
	// CodeUnknown: it was sent, and no answer came; whether it was done is not known.
	CodeUnknown protocol.Code = "unknown"
	// CodeClosed: the client is closed.
	CodeClosed protocol.Code = "closed"
)

// Error is what a request failed with. Is compares codes, so that
// errors.Is(err, client.ErrUnknown) and the like can be asked.
type Error struct {
	Code    protocol.Code
	Message string
	Channel string
	// Retryable: the same request may succeed later, and not before RetryAfter.
	Retryable  bool
	RetryAfter time.Duration
	// What refused, where that has a name; at most one of the three is set.
	Rule, Limit, Reason string
	// DidYouMean is the verb that was perhaps meant.
	DidYouMean string
}

func (e *Error) Error() string {
	if e.Channel != "" {
		return fmt.Sprintf("ringdown: %s: %s: %s", e.Channel, e.Code, e.Message)
	}
	return fmt.Sprintf("ringdown: %s: %s", e.Code, e.Message)
}

// Href is the path of the page about this code, on the server.
func (e *Error) Href() string { return protocol.ErrorPages + string(e.Code) }

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// What errors.Is can ask for.
var (
	ErrUnknown     = failed(CodeUnknown, "", "it was sent, and no answer came: whether it was done is not known")
	ErrClosed      = failed(CodeClosed, "", "the client is closed")
	ErrForbidden   = failed(protocol.CodeForbidden, "", "not allowed")
	ErrTimeout     = failed(protocol.CodeTimeout, "", "it took too long")
	ErrUnavailable = failed(protocol.CodeUnavailable, "", "not now")
)

func failed(code protocol.Code, channel, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Channel: channel}
}

// Code returns the code of an error of this package, and "" of others.
func Code(err error) protocol.Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// errorData is the data of an error message, or a problem document.
type errorData struct {
	Code       protocol.Code `json:"code"`
	Message    string        `json:"message"`
	Detail     string        `json:"detail"`
	Retryable  bool          `json:"retryable"`
	RetryAfter float64       `json:"retry_after"`
	Rule       string        `json:"rule"`
	Limit      string        `json:"limit"`
	Reason     string        `json:"reason"`
	DidYouMean string        `json:"did_you_mean"`
	Close      uint16        `json:"close"`
}

// readError reads such data; nil if it is neither.
func readError(data []byte, channel string) (*Error, protocol.CloseCode) {
	var d errorData
	if json.Unmarshal(data, &d) != nil || d.Code == "" {
		return nil, 0
	}
	if d.Message == "" {
		d.Message = d.Detail
	}
	return &Error{Code: d.Code, Message: d.Message, Channel: channel, Retryable: d.Retryable, RetryAfter: seconds(d.RetryAfter),
		Rule: d.Rule, Limit: d.Limit, Reason: d.Reason, DidYouMean: d.DidYouMean}, protocol.CloseCode(d.Close)
}

// data is e as the data of an error message.
func (e *Error) data() []byte {
	return protocol.AppendErrorData(nil, &protocol.Error{Code: e.Code, Message: e.Message, Retryable: e.Retryable, RetryAfter: e.RetryAfter,
		Rule: e.Rule, Limit: e.Limit, Reason: e.Reason, DidYouMean: e.DidYouMean})
}

func seconds(s float64) time.Duration {
	const most = 24 * 60 * 60
	return time.Duration(min(max(s, 0), most) * float64(time.Second))
}

// gaveUp says that a program waits no more.
func gaveUp(ctx context.Context) error { return fmt.Errorf("ringdown: %w", context.Cause(ctx)) }
