package scores

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"unicode/utf8"

	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

const (
	maxGoals  = 99
	maxReason = 200 // characters
)

// correct does what an editor asks for, however it was asked: by a call over the socket or
// by REST. Rights come first, then sizes, then the match itself.
func (s *Scores) correct(ctx context.Context, who stage.Caller, body []byte) (Match, error) {
	if !who.Staff {
		return Match{}, protocol.Errorf(protocol.CodeForbidden, "only editors may correct a score")
	}
	var c Correction
	if err := stage.DecodeJSON(bytes.NewReader(body), &c); err != nil {
		return Match{}, err
	}
	l := s.leagues[c.League]
	switch {
	case l == nil:
		return Match{}, protocol.Errorf(protocol.CodeNotFound, "there is no league of that name")
	case c.Goals[0] < 0 || c.Goals[1] < 0 || c.Goals[0] > maxGoals || c.Goals[1] > maxGoals:
		return Match{}, protocol.Errorf(protocol.CodeInvalidData, "goals are from 0 to %d", maxGoals)
	case utf8.RuneCountInString(c.Reason) > maxReason:
		return Match{}, protocol.Errorf(protocol.CodeInvalidData, "a reason has at most %d characters", maxReason)
	}
	return l.correct(ctx, c, who.User)
}

func (s *Scores) serveCorrection(w http.ResponseWriter, r *http.Request) {
	who, err := s.gate.Caller(r)
	if err != nil {
		stage.Refuse(w, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		stage.Refuse(w, protocol.Errorf(protocol.CodeTooLarge, "a correction has at most %d bytes", maxBody))
		return
	}
	m, err := s.correct(r.Context(), who, body)
	if err != nil {
		stage.Refuse(w, err)
		return
	}
	stage.Reply(w, http.StatusOK, m)
}
