package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/lifecycle"
	"ringdown/protocol"
)

// Handler answers a request of another node. The request and the answer are JSON.
type Handler func(ctx context.Context, request json.RawMessage) (answer any, err error)

// The bounds of what nodes ask of each other.
const (
	// AskTimeout is how long a node has to answer. The context may end earlier.
	AskTimeout = 3 * time.Second
	// MaxControl is the largest message between nodes, in bytes.
	MaxControl = 4 << 20
	// maxAnswering is how many requests of other nodes are answered at a time. More
	// are dropped, and the nodes that sent them run into the timeout.
	maxAnswering = 256
)

// control is what this node asks of others and answers them.
type control struct {
	handlers map[string]Handler // not changed after Start
	next     atomic.Uint64

	waiting sync.Map // of chan envelope, by the ID of the request

	answering chan struct{} // a token for each request being answered
	work      lifecycle.Crew
	ctx       context.Context
	cancel    context.CancelFunc
}

// envelope is a message between nodes: a request has a verb, an answer has none.
type envelope struct {
	Verb string          `json:"verb,omitempty"`
	ID   string          `json:"id"`
	Body json.RawMessage `json:"body,omitempty"`
	Err  *envelopeError  `json:"error,omitempty"`
}

// envelopeError is a protocol.Error in an envelope.
type envelopeError struct {
	Code       protocol.Code `json:"code"`
	Message    string        `json:"message"`
	Retryable  bool          `json:"retryable,omitempty"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	Rule       string        `json:"rule,omitempty"`
	Limit      string        `json:"limit,omitempty"`
	Reason     string        `json:"reason,omitempty"`
	DidYouMean string        `json:"did_you_mean,omitempty"`
}

func newControl() control {
	ctx, cancel := context.WithCancel(context.Background())
	return control{handlers: map[string]Handler{}, answering: make(chan struct{}, maxAnswering), ctx: ctx, cancel: cancel}
}

// stop ends the answers under way and waits for them.
func (c *control) stop(ctx context.Context) {
	c.cancel()
	_ = c.work.Wait(context.WithoutCancel(ctx)) // all of them end with c.ctx
}

// Handle sets what answers a verb when other nodes Ask it of this one. It is
// called before Start. fn runs on a goroutine of its own.
func (n *Node) Handle(verb string, fn Handler) { n.control.handlers[verb] = fn }

// Ask asks the node named to and decodes its answer into answer, unless that is
// nil. A node asks itself without the bus. Errors are *protocol.Error: that of the
// other node, not_found when there is no such node, or timeout when it does not
// answer; then nobody knows whether it did as asked.
func (n *Node) Ask(ctx context.Context, to, verb string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("node: encoding a request: %w", err)
	}
	reply, err := n.ask(ctx, to, verb, body)
	if err != nil {
		return err
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(reply, answer); err != nil {
		return protocol.Errorf(protocol.CodeInternal, "node %s gave an answer to %q that cannot be read: another version?", to, verb)
	}
	return nil
}

func (n *Node) ask(ctx context.Context, to, verb string, body json.RawMessage) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	if to == n.name {
		answer := n.answer(ctx, envelope{Verb: verb, Body: body})
		return answer.Body, answer.error()
	}
	request := envelope{Verb: verb, ID: strconv.FormatUint(n.control.next.Add(1), 36), Body: body}
	payload, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("node: encoding a request: %w", err)
	}
	if len(payload) > MaxControl {
		return nil, protocol.Errorf(protocol.CodeTooLarge, "a request of %d bytes is too large for another node", len(payload))
	}
	if n.bus == nil {
		return nil, protocol.Errorf(protocol.CodeNotFound, "this server runs alone; there is no node %q", to)
	}
	reply := make(chan envelope, 1)
	n.control.waiting.Store(request.ID, reply)
	defer n.control.waiting.Delete(request.ID)
	if err := n.bus.Send(ctx, to, payload); err != nil {
		return nil, err
	}
	select {
	case r := <-reply:
		return r.Body, r.error()
	case <-ctx.Done():
		return nil, &protocol.Error{Code: protocol.CodeTimeout, Retryable: true, Message: "node " + to + " did not answer in time; it is not known whether it did as asked"}
	}
}

// AskAll asks every node, this one included, and calls each with the answers,
// one at a time. Nodes that are silent or fail are in the error.
func (n *Node) AskAll(ctx context.Context, verb string, request any, each func(node string, answer json.RawMessage)) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("node: encoding a request: %w", err)
	}
	names, err := n.Nodes(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for _, name := range names {
		wg.Go(func() {
			reply, err := n.ask(ctx, name, verb, body)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			each(name, reply)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Nodes returns the names of the nodes that share the broker, this one included,
// in order. It may block.
func (n *Node) Nodes(ctx context.Context) ([]string, error) {
	if n.bus == nil {
		return []string{n.name}, nil
	}
	names, err := n.bus.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	names = append(slices.Clone(names), n.name)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Control takes a message of another node. It does not block.
func (f *feed) Control(from string, payload []byte) {
	n := (*Node)(f)
	var e envelope
	if n.bus == nil || len(payload) > MaxControl || json.Unmarshal(payload, &e) != nil || e.ID == "" {
		n.metrics.BadControl.Add(1)
		return
	}
	if e.Verb == "" {
		if reply, ok := n.control.waiting.LoadAndDelete(e.ID); ok {
			reply.(chan envelope) <- e
		}
		return
	}
	select {
	case n.control.answering <- struct{}{}:
	default:
		n.metrics.BadControl.Add(1)
		return
	}
	n.control.work.Go(func() {
		defer func() { <-n.control.answering }()
		ctx, cancel := context.WithTimeout(n.control.ctx, AskTimeout)
		defer cancel()
		reply, err := json.Marshal(n.answer(ctx, e))
		if err == nil && len(reply) <= MaxControl {
			err = n.bus.Send(ctx, from, reply)
		}
		if err != nil && ctx.Err() == nil {
			n.opts.Logger.Warn("another node was not answered", "node", from, "verb", clip(e.Verb), "error", err)
		}
	})
}

// answer does what a request asks.
func (n *Node) answer(ctx context.Context, request envelope) (reply envelope) {
	reply.ID = request.ID
	fail := func(err error) envelope {
		told := envelopeError(*protocol.AsError(err))
		return envelope{ID: request.ID, Err: &told}
	}
	defer func() {
		if cause := recover(); cause != nil {
			n.opts.Logger.Error("answering another node panicked", "verb", clip(request.Verb), "panic", cause)
			reply = fail(protocol.Errorf(protocol.CodeInternal, "node %s failed on this request", n.name))
		}
	}()
	fn := n.control.handlers[request.Verb]
	if fn == nil {
		return fail(protocol.Errorf(protocol.CodeBadRequest, "node %s does not know the verb %q; is it of an older version?", n.name, clip(request.Verb)))
	}
	answer, err := fn(ctx, request.Body)
	if err != nil {
		return fail(err)
	}
	if reply.Body, err = json.Marshal(answer); err != nil {
		return fail(err)
	}
	return reply
}

func (e *envelope) error() error {
	if e.Err == nil {
		return nil
	}
	told := protocol.Error(*e.Err)
	return &told
}

// clip keeps what another node sent from filling the log.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}
