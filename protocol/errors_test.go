package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestAsError(t *testing.T) {
	own := Errorf(CodeForbidden, "ann may not publish to %q", "orders")
	for _, c := range []struct {
		err  error
		code Code
		same bool
	}{
		{own, CodeForbidden, true},
		{fmt.Errorf("at the door: %w", own), CodeForbidden, true},
		{errors.Join(io.EOF, own), CodeForbidden, true},
		{io.EOF, CodeInternal, false},
		{errors.New("password=secret"), CodeInternal, false},
		{context.DeadlineExceeded, CodeTimeout, false},
		{fmt.Errorf("asking: %w", context.DeadlineExceeded), CodeTimeout, false},
		{context.Canceled, CodeInternal, false},
		{(*Error)(nil), CodeInternal, false},
	} {
		got := AsError(c.err)
		if got.Code != c.code || (got == own) != c.same {
			t.Errorf("%#v: %#v", c.err, got)
		}
		if !c.same && c.err != (*Error)(nil) && got.Message == c.err.Error() {
			t.Errorf("%q is told to the client", got.Message)
		}
	}
	if AsError(nil) != nil {
		t.Error("an error out of nothing")
	}
	if own.Error() != `forbidden: ann may not publish to "orders"` {
		t.Error(own.Error())
	}
}

func TestAppendErrorData(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "0"}, {time.Second, "1"}, {250 * time.Millisecond, "0.25"}, {time.Nanosecond, "0.001"},
		{1500*time.Millisecond + 1, "1.501"}, {time.Hour, "3600"}, {-time.Second, "0"},
	} {
		e := &Error{Code: CodeRateLimited, Message: "too \"often\"\n", Retryable: true, RetryAfter: c.after}
		want := `{"code":"rate_limited","message":"too \"often\"\n","retryable":true,"retry_after":` + c.want + `,"href":"/v1/errors/rate_limited"}`
		if got := string(AppendErrorData([]byte("x"), e)); got != "x"+want {
			t.Errorf("%v: %s, want %s", c.after, got, want)
		}
	}
}

func TestAppendErrorDataNames(t *testing.T) {
	for want, e := range map[string]*Error{
		`"rule":"chat:{room}.allow.publish"`:   Errorf(CodeForbidden, "no").WithRule("chat:{room}.allow.publish"),
		`"limit":"limits.messages_per_second"`: Errorf(CodeForbidden, "no").WithLimit("limits.messages_per_second"),
		`"reason":"origin"`:                    Errorf(CodeForbidden, "no").WithReason("origin"),
		`"did_you_mean":"subscribe"`:           {Code: CodeForbidden, Message: "no", DidYouMean: "subscribe"},
	} {
		want = `{"code":"forbidden","message":"no","retryable":false,"retry_after":0,` + want + `,"href":"/v1/errors/forbidden"}`
		if got := string(AppendErrorData(nil, e)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestUnknownCodes(t *testing.T) {
	if got := Code("of another version").HTTPStatus(); got != 500 {
		t.Errorf("status %d", got)
	}
	if got := CloseCode(4999).Reason(); got != "" {
		t.Errorf("reason %q", got)
	}
}
