package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"ringdown/protocol"
)

// State is where the connection is.
//
//	idle → opening → authenticating → live ⇄ probing
//	          ↑              │           │
//	          └── waiting ←──┴───────────┘        closed ← from everywhere
type State string

const (
	Idle           State = "idle"           // nothing was asked for yet
	Opening        State = "opening"        // a token is being had, or a line opened
	Authenticating State = "authenticating" // the line is open, and the welcome has not come
	Live           State = "live"
	Probing        State = "probing" // it may be dead: a ping was sent
	Waiting        State = "waiting" // another attempt comes
	Closed         State = "closed"  // by Close, or by an end that only a change mends
)

// Reason says why the state changed: docs/writing-a-client.md has the list.
type Reason string

const (
	byConnect Reason = "connect"
	byClose   Reason = "close"
	bySignOut Reason = "sign_out"
	byLoss    Reason = "lost"
	byRefusal Reason = "refused"
	byToken   Reason = "token"
	bySilence Reason = "silent"
	byDrain   Reason = "drain"
	byBlock   Reason = "blocked"
	byBetter  Reason = "better"
	byWake    Reason = "wake"
	byWelcome Reason = "welcome"
	byOpened  Reason = "opened"
	byRetry   Reason = "retry"
)

// StateChange is told of every change of the state.
type StateChange struct {
	State, Previous State
	Reason          Reason
	Transport       string        // websocket, sse or poll
	RetryIn         time.Duration // in Waiting: to the next attempt
	Err             *Error        // what led to it, if anything did
}

// owner is what goes on above the line. Its methods are called with the lock held.
type owner interface {
	items() []protocol.Subscription // what a stream begins with
	up(begun []protocol.Subscription)
	down()
	received(m *protocol.Message)
	renewed() // a new token was accepted
	changed(c StateChange)
}

// attempt is a line that is being opened, or is used.
type attempt struct {
	c        *connection
	line     line
	rank     int
	token    string
	begun    []protocol.Subscription
	welcomed bool
	buffered bool   // its welcome is overdue on an open stream
	err      *Error // what the server said was wrong, before it ended the line
	timer    timer
}

// connection keeps one line to the server, by whatever transport comes through. mu guards
// all of it, and all that is above it.
type connection struct {
	*settings
	mu    sync.Mutex
	url   string
	owner owner
	ctx   context.Context // of the client
	work  sync.WaitGroup  // whatever runs for it

	state   State
	current *attempt
	trial   *attempt
	turn    int // of attempts; an answer to an older one is too late

	failures     int // in a row
	rank         int // of the transport in use
	misses       int // attempts in a row that ended without a word of the server's
	proven       map[int]bool
	once42       bool // 42xx was met by coming back at once, and no welcome came since
	askedRefused bool
	lastToken    string
	renewFailed  int
	name         string // of an anonymous client
	welcome      welcome

	lastHeard, lastWatch time.Time
	betterDelay          time.Duration
	betterSince          time.Time // when a better transport was taken

	retry, watching, health, better, renewal, leaving, probe timer
}

// welcome is what the last one said.
type welcome struct {
	Connection   string `json:"connection"`
	User         string `json:"user"`
	Ping         int64  `json:"ping"`
	Expires      int64  `json:"expires"`
	MaxMessage   int    `json:"max_message"`
	DedupeWindow int64  `json:"dedupe_window"`
}

func newConnection(ctx context.Context, address string, s *settings, o owner) *connection {
	c := &connection{settings: s, url: address, owner: o, ctx: ctx, state: Idle, proven: map[int]bool{}, name: randomID(), betterDelay: s.betterAfter}
	for _, t := range []*timer{&c.retry, &c.watching, &c.health, &c.better, &c.renewal, &c.leaving, &c.probe} {
		t.c = c
	}
	return c
}

// timer calls a function once, with the lock held, unless it is stopped or set anew.
type timer struct {
	c     *connection
	timer *time.Timer
	set   int
}

func (t *timer) start(d time.Duration, fn func()) {
	t.stop()
	set := t.set
	t.timer = time.AfterFunc(d, func() {
		t.c.mu.Lock()
		defer t.c.mu.Unlock()
		if t.set == set {
			fn()
		}
	})
}

func (t *timer) stop() {
	t.set++
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (c *connection) live() bool { return c.state == Live || c.state == Probing }

func (c *connection) connect() {
	if c.state != Idle && c.state != Closed {
		return
	}
	c.failures, c.askedRefused, c.once42 = 0, false, false
	c.begin(byConnect, TokenConnect)
}

func (c *connection) close(reason Reason, err *Error) {
	if c.state == Closed {
		return
	}
	c.leave()
	c.retry.stop()
	c.turn++
	c.change(StateChange{State: Closed, Reason: reason, Err: err})
}

func (c *connection) send(m *protocol.Message) {
	if c.current != nil && c.current.line != nil {
		c.current.line.send(m)
	}
}

// wake is called when somebody is back: there is no time to lose.
func (c *connection) wake() {
	c.rank, c.misses = 0, 0
	c.proven = map[int]bool{}
	switch {
	case c.state == Waiting:
		c.failures = 0
		c.begin(byWake, TokenReconnect)
	case c.live():
		c.test(byWake)
		if c.current.rank > 0 {
			c.tryBetter()
		}
	}
}

// test looks whether anybody is there.
func (c *connection) test(reason Reason) {
	if c.state != Live {
		return
	}
	c.change(StateChange{State: Probing, Reason: reason})
	c.send(&protocol.Message{Type: protocol.TypePing})
	c.probe.start(c.probeTimeout, func() {
		c.leave()
		c.wait(bySilence, StateChange{}, 0)
	})
}

// Opening.

func (c *connection) begin(reason Reason, why TokenReason) {
	c.leave()
	c.retry.stop()
	c.turn++
	turn := c.turn
	c.change(StateChange{State: Opening, Reason: reason})
	c.askToken(why, func(token string, err *Error) {
		switch {
		case turn != c.turn || c.state != Opening:
		case err != nil:
			c.wait(byToken, StateChange{Err: err}, 0)
		case why == TokenRefused && token != "" && token == c.lastToken:
			// It would be refused again.
			c.wait(byToken, StateChange{Err: failed(protocol.CodeUnauthorized, "", "the token function answered with the token that was refused")}, 0)
		default:
			c.lastToken = token
			c.open(c.rank, token, func(a *attempt) { c.current = a })
		}
	})
}

// askToken calls then with a token, "" for an anonymous client, or with why there is none;
// with the lock held, at once or later.
func (c *connection) askToken(why TokenReason, then func(token string, err *Error)) {
	if c.token == nil {
		then(c.fixed, nil)
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.tokenTimeout)
	answered := false // by the function, or in its place by its time
	answer := func(token string, err *Error) {
		if !answered {
			answered = true
			then(token, err)
		}
	}
	none := func(format string, args ...any) *Error {
		e := failed(protocol.CodeUnauthorized, "", format, args...)
		e.Retryable = true
		return e
	}
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		answer("", none("the token function has not answered in time"))
	})
	c.work.Go(func() {
		token, err := c.token(ctx, why)
		c.mu.Lock()
		defer c.mu.Unlock()
		defer cancel()
		switch {
		case err != nil:
			answer("", none("the token function failed: %v", err))
		case token == "":
			answer("", none("the token function answered with no token"))
		default:
			answer(token, nil)
		}
	})
}

func (c *connection) anonymous() bool { return c.token == nil && c.fixed == "" }

// open opens a line; keep is called with the attempt before anything is told of it.
func (c *connection) open(rank int, token string, keep func(*attempt)) {
	t := c.transports[rank]
	a := &attempt{c: c, rank: rank, token: token, timer: timer{c: c}}
	o := &opening{url: c.url, query: url.Values{"expect": {"user"}}, token: token}
	if c.anonymous() {
		o.query = url.Values{"client": {c.name}}
	}
	if t.name() != "websocket" {
		a.begun = c.owner.items()
		o.channels = a.begun
	}
	keep(a)
	a.timer.start(c.openTimeout, func() { c.ended(a, ending{}) })
	a.line = t.open(c.ctx, &c.work, o, a)
}

// mine reports whether anybody still wants to hear of a.
func (a *attempt) mine() bool { return a == a.c.current || a == a.c.trial }

func (a *attempt) opened() {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !a.mine() {
		return
	}
	limit, stream := c.openTimeout, c.transports[a.rank].name() == "sse"
	if stream {
		limit = c.bufferedTimeout
	}
	a.timer.start(limit, func() {
		a.buffered = stream
		c.ended(a, ending{})
	})
	if a == c.current {
		c.change(StateChange{State: Authenticating, Reason: byOpened})
	}
}

func (a *attempt) message(m *protocol.Message) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.mine() {
		a.c.received(a, m)
	}
}

func (a *attempt) heard() {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.mine() {
		a.c.heardOf(a)
	}
}

func (a *attempt) ended(e ending) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.mine() {
		a.c.ended(a, e)
	}
}

// Living.

const renewalID = "0" // of the requests that renew the token

func (c *connection) received(a *attempt, m *protocol.Message) {
	c.heardOf(a)
	switch {
	case m.Type == protocol.TypeWelcome && !a.welcomed:
		c.welcomed(a, m)
		return
	case m.Type == protocol.TypeError && m.ID == nil && m.Channel == "":
		a.err, _ = readError(m.Data, "")
		if a.err != nil && a.err.Code == protocol.CodeUnauthorized {
			return // the end of the line comes behind it
		}
	}
	if !a.welcomed {
		return
	}
	switch m.Type {
	case protocol.TypePing:
		a.line.send(&protocol.Message{Type: protocol.TypePong})
	case protocol.TypePong:
	case protocol.TypeWelcome:
		c.remember(m)
	case protocol.TypeReconnect:
		var window struct{ After, Within int64 }
		if json.Unmarshal(m.Data, &window) == nil {
			at := milliseconds(window.After) + time.Duration(c.random()*float64(milliseconds(window.Within)))
			c.leaving.start(at, func() { c.begin(byDrain, TokenReconnect) })
		}
	default:
		if string(m.ID) == renewalID {
			c.renewed(m)
		} else {
			c.owner.received(m)
		}
	}
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (c *connection) heardOf(a *attempt) {
	if a != c.current {
		return
	}
	c.lastHeard = c.now()
	if c.state == Probing {
		c.probe.stop()
		c.change(StateChange{State: Live, Reason: byWelcome})
	}
}

func (c *connection) welcomed(a *attempt, m *protocol.Message) {
	a.welcomed = true
	a.timer.stop()
	reason := byWelcome
	if a == c.trial {
		c.trial = nil
		c.leave()
		c.current, c.betterSince, reason = a, time.Now(), byBetter
	}
	c.rank, c.misses, c.lastToken = a.rank, 0, a.token
	c.proven[a.rank] = true
	c.askedRefused, c.once42 = false, false
	c.remember(m)
	c.lastHeard, c.lastWatch = c.now(), c.now()
	c.watching.start(c.watch, c.look)
	c.health.start(c.healthy, func() { c.failures, c.betterSince = 0, time.Time{} })
	if a.rank > 0 {
		c.better.start(c.betterDelay, c.tryBetter)
	}
	c.change(StateChange{State: Live, Reason: reason})
	c.owner.up(a.begun)
}

func (c *connection) remember(m *protocol.Message) {
	w := welcome{Ping: 25_000, MaxMessage: 65_536, DedupeWindow: 120_000}
	if json.Unmarshal(m.Data, &w) == nil {
		c.welcome = w
	}
	c.scheduleRenewal(w.Expires)
}

// look looks at the clock: after sleep it has jumped, and no timer has told of it.
func (c *connection) look() {
	slept := c.now().Sub(c.lastWatch) > c.watch+c.silence
	c.lastWatch = c.now()
	c.watching.start(c.watch, c.look)
	if slept {
		c.test(byWake)
	} else if c.now().Sub(c.lastHeard) >= milliseconds(c.welcome.Ping)+c.silence {
		c.test(bySilence)
	}
}

// Renewing the token.

// scheduleRenewal sets when the token is to be renewed that ends at expires, in
// milliseconds since 1970.
func (c *connection) scheduleRenewal(expires int64) {
	c.renewal.stop()
	if expires == 0 || c.token == nil {
		return
	}
	left := time.UnixMilli(expires).Sub(c.now())
	early := min(max(left/10, 5*time.Second), time.Minute)
	c.renewal.start(max(time.Second, left/2, left-early), func() { c.renew(0) })
}

func (c *connection) renew(failedBefore int) {
	a := c.current
	c.askToken(TokenExpiring, func(token string, err *Error) {
		switch {
		case a != c.current || !c.live():
		case err != nil:
			c.renewLater(failedBefore)
		default:
			a.token, c.renewFailed = token, failedBefore
			c.send(&protocol.Message{Type: protocol.TypeAuth, ID: []byte(renewalID), Token: token})
		}
	})
}

func (c *connection) renewLater(failedBefore int) {
	c.renewal.start(max(time.Second, c.delay(failedBefore)), func() { c.renew(failedBefore + 1) })
}

func (c *connection) renewed(m *protocol.Message) {
	if m.Type == protocol.TypeAck {
		c.lastToken = c.current.token
		var until struct{ Expires int64 }
		_ = json.Unmarshal(m.Data, &until) // without data the token has no end
		c.scheduleRenewal(until.Expires)
		c.owner.renewed()
		return
	}
	if err, _ := readError(m.Data, ""); err != nil && err.Code == protocol.CodeConflict {
		// Somebody else's token: nobody turns into somebody else on a line.
		c.leave()
		c.waitFor(byToken, 0, nil)
		return
	}
	c.renewLater(c.renewFailed)
}

// Ending.

// leave gives up the line that there is, and what goes with it.
func (c *connection) leave() {
	c.dropTrial()
	for _, t := range []*timer{&c.watching, &c.health, &c.better, &c.renewal, &c.leaving, &c.probe} {
		t.stop()
	}
	a := c.current
	if a == nil {
		return
	}
	c.current = nil
	a.timer.stop()
	a.line.close()
	if a.welcomed {
		c.owner.down()
	}
}

func (c *connection) ended(a *attempt, e ending) {
	a.timer.stop()
	if a == c.trial {
		a.line.close()
		c.trial = nil
		c.worse()
		return
	}
	err := e.err
	if err == nil {
		err = a.err
	}
	c.leave()
	if a.welcomed && !c.betterSince.IsZero() && time.Since(c.betterSince) < c.healthy {
		c.worse()
	}
	c.betterSince = time.Time{}
	least := e.retryAfter
	if err != nil {
		least = max(least, err.RetryAfter)
	}
	ownWord := e.code >= 4000 || e.err != nil
	switch {
	case e.code == protocol.CloseProtocol || e.code == protocol.CloseForbidden || e.code == protocol.CloseByOperator,
		e.err != nil && (e.status == http.StatusBadRequest || e.status == http.StatusForbidden || e.status == http.StatusNotFound):
		c.close(byRefusal, err)
	case e.code == protocol.CloseInvalidToken || e.status == http.StatusUnauthorized:
		c.refused(err)
	case e.code == protocol.CloseTokenExpired:
		c.begin(byToken, TokenExpired)
	case e.code >= 4200 && e.code < 4300 && !c.once42:
		c.once42 = true
		reason := byLoss
		if e.code == protocol.CloseDraining {
			reason = byDrain
		}
		c.waitFor(reason, 0, err)
	case !a.welcomed && !ownWord:
		c.missed(a, least, err)
	case ownWord && e.code != protocol.CloseDraining:
		c.wait(byRefusal, StateChange{Err: err}, least)
	default:
		c.wait(byLoss, StateChange{Err: err}, least)
	}
}

func (c *connection) refused(err *Error) {
	switch {
	case c.token == nil:
		c.close(byRefusal, err)
	case c.askedRefused:
		c.wait(byToken, StateChange{Err: err}, 0)
	default:
		c.askedRefused = true
		c.begin(byToken, TokenRefused)
	}
}

// missed decides about an attempt that ended without a word of the server's: is it the
// transport?
func (c *connection) missed(a *attempt, least time.Duration, err *Error) {
	most := 2
	if c.proven[a.rank] {
		most = 4
	}
	if c.misses++; !a.buffered && c.misses < most {
		c.wait(byLoss, StateChange{Err: err}, least)
		return
	}
	c.misses = 0
	if len(c.transports) == 1 {
		c.wait(byLoss, StateChange{Err: err}, least)
		return
	}
	c.failures++
	c.rank = (a.rank + 1) % len(c.transports)
	c.begin(byBlock, TokenReconnect)
}

// delay is how long to wait after the n-th failure in a row, from 0: full jitter.
func (c *connection) delay(n int) time.Duration {
	bound := min(c.backoffCap, c.backoffBase<<min(n, 20))
	return time.Duration(c.random() * float64(bound)).Truncate(time.Millisecond)
}

// wait comes back after a delay, and not before least.
func (c *connection) wait(reason Reason, s StateChange, least time.Duration) {
	d := max(least, c.delay(c.failures))
	c.failures++
	c.waitFor(reason, d, s.Err)
}

func (c *connection) waitFor(reason Reason, d time.Duration, err *Error) {
	why := TokenReconnect
	if reason == byToken && c.askedRefused {
		why = TokenRefused
	}
	c.change(StateChange{State: Waiting, Reason: reason, RetryIn: d, Err: err})
	c.retry.start(d, func() { c.begin(byRetry, why) })
}

// A better transport, beside the one in use.

func (c *connection) tryBetter() {
	a := c.current
	if c.trial != nil || !c.live() || a.rank == 0 {
		return
	}
	c.askToken(TokenReconnect, func(token string, err *Error) {
		switch {
		case a != c.current || !c.live() || c.trial != nil:
		case err != nil:
			c.worse()
		default:
			c.open(0, token, func(a *attempt) { c.trial = a })
		}
	})
}

func (c *connection) dropTrial() {
	if a := c.trial; a != nil {
		c.trial = nil
		a.timer.stop()
		a.line.close()
	}
}

// worse is called when a better transport did not come through, or not for long.
func (c *connection) worse() {
	c.betterDelay = min(2*c.betterDelay, c.betterCap)
	if c.current != nil && c.current.welcomed && c.current.rank > 0 {
		c.better.start(c.betterDelay, c.tryBetter)
	}
}

func (c *connection) change(s StateChange) {
	s.Previous, s.Transport = c.state, c.transports[c.rank].name()
	c.state = s.State
	c.owner.changed(s)
}

// idText is a request's number as it goes over the wire.
func idText(id int64) []byte { return strconv.AppendInt(nil, id, 10) }
