package redis

import (
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the name of a script, as Redis wants it
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"ringdown/internal/channel"
)

var (
	//go:embed lua/log.lua
	logSource string
	//go:embed lua/trim.lua
	trimSource string
	//go:embed lua/expire.lua
	expireSource string
	//go:embed lua/publish.lua
	publishSource string
	//go:embed lua/position.lua
	positionSource string
	//go:embed lua/page.lua
	pageSource string
	//go:embed lua/state.lua
	stateSource string
	//go:embed lua/announce.lua
	announceSource string

	// The parts that a channel with a count of messages alone needs; each part costs
	// Redis time, needed or not.
	publishScript  = newScript(logSource + publishSource)
	publishAll     = newScript(logSource + trimSource + expireSource + publishSource)
	positionScript = newScript(logSource + positionSource)
	pageScript     = newScript(logSource + trimSource + pageSource)
	stateScript    = newScript(logSource + expireSource + stateSource)
	announceScript = newScript(announceSource)
)

// script is one that Redis runs as a whole or not at all.
type script struct{ source, sha string }

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return &script{source, hex.EncodeToString(sum[:])}
}

// call is one run of a script.
type call struct {
	script *script
	keys   []string
	args   []string
}

// reply is what a script answered: a list, always.
type reply struct {
	list []rueidis.RedisMessage
	err  error
}

// run runs scripts one after the other. Those that find their slot on the move
// are tried again until the timeout.
func (b *Broker) run(ctx context.Context, calls ...call) []reply {
	replies := b.once(ctx, calls...)
	if !b.opts.Cluster {
		return replies
	}
	for end := time.Now().Add(b.opts.Timeout); ; {
		var again []call
		var at []int
		for i, r := range replies {
			if moving(r.err) {
				again, at = append(again, calls[i]), append(at, i)
			}
		}
		if len(again) == 0 || ctx.Err() != nil || time.Now().After(end) || !b.doze(movingPause) {
			return replies
		}
		for i, r := range b.once(ctx, again...) {
			replies[at[i]] = r
		}
	}
}

// movingPause is how long the move of a slot is given before it is looked at
// again: to move some keys takes about that.
const movingPause = 5 * time.Millisecond

// moving reports whether a script was not run because its slot is on the move
// from one primary to another, and its keys are in both.
func moving(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && e.IsTryAgain()
}

// once runs scripts one after the other, in one round trip where they are known
// to Redis. Calls with keys of one slot run in their order.
func (b *Broker) once(ctx context.Context, calls ...call) []reply {
	replies := make([]reply, len(calls))
	c := b.client()
	if c == nil {
		for i := range replies {
			replies[i].err = errDown
		}
		return replies
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	commands := make(rueidis.Commands, len(calls))
	for i, call := range calls {
		commands[i] = c.B().Evalsha().Sha1(call.script.sha).Numkeys(int64(len(call.keys))).Key(call.keys...).Arg(call.args...).Build()
	}
	// A server that was restarted knows none of the scripts, so that what is run
	// anew has its order kept.
	var unknown []int
	for i, r := range c.DoMulti(ctx, commands...) {
		replies[i].list, replies[i].err = r.ToArray()
		if e, ok := rueidis.IsRedisErr(replies[i].err); ok && e.IsNoScript() {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) > 0 {
		commands = commands[:0]
		for _, i := range unknown {
			call := calls[i]
			commands = append(commands, c.B().Eval().Script(call.script.source).Numkeys(int64(len(call.keys))).Key(call.keys...).Arg(call.args...).Build())
		}
		for n, r := range c.DoMulti(ctx, commands...) {
			replies[unknown[n]].list, replies[unknown[n]].err = r.ToArray()
		}
	}
	for i := range replies {
		if replies[i].err != nil {
			b.doubt(replies[i].err)
			break
		}
	}
	return replies
}

// texts reads the first n of a list as texts.
func (r reply) texts(n int) ([]string, error) {
	if r.err != nil {
		return nil, r.err
	}
	if len(r.list) < n {
		return nil, errGarbled
	}
	out := make([]string, n)
	for i := range out {
		s, err := r.list[i].ToString()
		if err != nil {
			return nil, errGarbled
		}
		out[i] = s
	}
	return out, nil
}

// logCall makes a call of a script about a log: what log.lua says they all take.
func (b *Broker) logCall(s *script, name string, d *channel.Declaration, seen []point, own ...string) call {
	base := b.base(name)
	args := make([]string, 0, 6+4*len(seen)+len(own))
	args = append(args, newEpoch(), base, b.publish, b.clock(), number(lifetime(d)), strconv.Itoa(len(seen)))
	lineage := b.lineage()
	for _, p := range seen {
		strict := "0"
		if p.lineage != lineage {
			strict = "1"
		}
		args = append(args, p.epoch, strconv.FormatUint(p.offset, 10), p.print, strict)
	}
	keys := append(make([]string, 0, 6), base+metaKey, base+logKey)
	if d.State != nil && s != pageScript || s == stateScript {
		keys = append(keys, base+stateKey, base+orderKey, base+gravesKey)
	}
	return call{s, keys, append(args, own...)}
}

// clock is the time that scripts go by; empty: that of the server.
func (b *Broker) clock() string {
	if b.opts.Now == nil {
		return ""
	}
	return strconv.FormatInt(b.opts.Now().UnixMilli(), 10)
}

// lifetime is how long the keys of a channel stay when nobody publishes, in
// milliseconds: a day longer than what is in them, so that the epoch outlives it.
func lifetime(d *channel.Declaration) int64 {
	longest := time.Duration(0)
	if h := d.History; h != nil {
		longest = h.For
		if longest == 0 {
			return 0
		}
	}
	if s := d.State; s != nil {
		if s.For == 0 {
			return 0
		}
		longest = max(longest, s.For)
	}
	return (longest + 24*time.Hour).Milliseconds()
}

// limits are what a log keeps: messages, bytes, and milliseconds.
func limits(d *channel.Declaration) (messages, bytes, age string) {
	h := channel.History{}
	switch {
	case d.History != nil:
		h = *d.History
	case d.State != nil:
		// A state channel is followed by its keys' latest messages, not by its past.
		h = channel.History{Messages: max(d.Buffer.Messages, 1), For: d.State.For}
	}
	return strconv.Itoa(h.Messages), number(h.Bytes), number(h.For.Milliseconds())
}

// stateAge is how long a key stays, in milliseconds.
func stateAge(d *channel.Declaration) string {
	if d.State == nil {
		return "0"
	}
	return number(d.State.For.Milliseconds())
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func newEpoch() string {
	var r [6]byte
	rand.Read(r[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(r[:])
}

func newRandom() string {
	var r [8]byte
	rand.Read(r[:]) // never fails (crypto/rand)
	return hex.EncodeToString(r[:])
}

// word is the first word of what Redis said, which names the kind of an error.
func word(s string) string { w, _, _ := strings.Cut(s, " "); return w }
