package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ringdown"
)

// session is one line at the shell, and what comes of it. Texts in out and err
// are regular expressions.
type session struct {
	line string // parted at blanks; 'quoted' parts stay together
	in   string
	code int
	out  string
	err  string
}

// words parts a line as a shell would.
var shellWord = regexp.MustCompile(`'[^']*'|\S+`)

func run(t *testing.T, s session, replace *strings.Replacer) {
	t.Helper()
	args := shellWord.FindAllString(replace.Replace(s.line), -1)
	for i := range args {
		args[i] = strings.Trim(args[i], "'")
	}
	var out, errs bytes.Buffer
	wrong := false
	code := Main(t.Context(), args, Streams{In: strings.NewReader(s.in), Out: &out, Err: &errs})
	if code != s.code {
		wrong = true
		t.Errorf("%s\nended with %d, want %d", s.line, code, s.code)
	}
	for _, c := range []struct{ stream, got, want string }{{"out", out.String(), s.out}, {"err", errs.String(), s.err}} {
		if c.want == "" && c.stream == "err" && s.code == 0 {
			continue // warnings and notes
		}
		if ok, err := regexp.MatchString("(?s)"+replace.Replace(c.want), c.got); err != nil || !ok {
			wrong = true
			t.Errorf("%s\n%s: %q\nwant %s (%v)", s.line, c.stream, c.got, c.want, err)
		}
	}
	if wrong {
		t.Logf("out:\n%s\nerr:\n%s", &out, &errs)
	}
}

const sessionsFile = `
auth:
  anonymous: true
  jwt: {secret: a-secret-of-at-least-thirty-two-bytes!, user_claim: uid}
channels:
  - name: chat:{room}
    events:
      message: {schema: {type: object, required: [text]}}
    allow:
      subscribe: 'params.room in claims.rooms'
      publish: '"writer" in claims.roles'
  - name: news
    presence: true
    allow: {subscribe: anyone, presence: signed_in}
`

// TestSessions: what people type, and what they get.
func TestSessions(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"ringdown.yaml": sessionsFile,
		"one.yaml":      "auth: {anonymous: true}\nchannels: [{name: a, allow: {subscribe: anyone}}]\n",
		"bad.yaml":      "channels:\n  - {name: a, allow: {subscribe: usr}}\n",
		"key.yaml":      "auth: {jwt: {secret: a-secret-of-at-least-thirty-two-bytes!}}\nchannels: [{name: a, allow: {subscribe: signed_in}}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RINGDOWN_JWT_SECRET", "a-secret-of-at-least-thirty-two-bytes!")
	for _, s := range []session{
		{line: "", out: `Usage:.*ringdown \[command\].*check.*serve.*version`},
		{line: "--help", out: `Examples:`},
		{line: "version", out: `^ringdown \d+\.\d+\.\d+ \(go`},
		{line: "version --json", out: `"version": "\d+.*"system": "`},
		{line: "--version", out: `\d+\.\d+\.\d+`},

		// What is not understood ends with 2, whoever finds it out.
		{line: "srve", code: 2, err: `unknown command "srve".*Did you mean this.*serve`},
		{line: "serve --cofnig x", code: 2, err: `unknown flag.*serve --help`},
		{line: "serve extra", code: 2, err: `ringdown: `},
		{line: "pub only-one", code: 2, err: `ringdown: `},
		{line: "sub", code: 2, err: `ringdown: `},
		{line: "token", code: 2, err: `"user" not set`},
		{line: "bench nonsense", code: 2, err: `invalid argument`},
		{line: "bench transports -n 0", code: 2, err: `-n must be from 1 to 19000`},
		{line: "bench transports --duration 1s", code: 2, err: `--duration must be from 5s`},
		{line: "bench transports --rounds 0", code: 2, err: `--rounds must be from 1`},
		{line: "bench transports --help", out: `ringdown bench transports --rounds 3 --html`},
		{line: "store verify", code: 2, err: `ringdown: `},
		{line: "store vrify x", code: 2, err: `unknown command "vrify"`},
		{line: "serve --log-level loud --dev", code: 2, err: `loud`},
		{line: "token --user ann --expires soon", code: 2, err: `as in 30s, 5m, 12h or 7d`},
		{line: "sub a --url ftp://x", code: 2, err: `http, https, ws or wss, not ftp`},
		{line: "sub a --url nothing", code: 2, err: `not "nothing"`},

		{line: "check", out: `^ringdown.yaml is good: 2 channels declared\n.*chat:\{room\} +subscribe: params.room in claims.rooms`, err: "warning: ringdown.yaml"},
		{line: "check one.yaml", out: `^one.yaml is good: 1 channel declared\n`},
		{line: "check bad.yaml", code: 1, err: `bad.yaml:2:\d+: .*there is no variable usr.*did you mean user`},
		{line: "check nowhere.yaml", code: 1, err: `nowhere.yaml: there is no such file`},
		{line: "check one.yaml --json", out: `"good": true,.*"name": "a",.*"line": 2,.*"subscribe": "anyone"`},
		{line: "check bad.yaml --json", code: 1, out: `"good": false,.*"line": 2,.*"mend": "did you mean user`, err: "^$"},
		{line: "check one.yaml two.yaml", code: 2, err: `too many`},

		{line: `check --as '{"uid":"ann","rooms":["1"],"secret":"x"}' --subscribe chat:1`,
			out: `^yes:   ann may subscribe to chat:1\nrule:  chat:\{room\}.allow.subscribe \(ringdown.yaml:10\): params.room in claims.rooms\nwith:  params.room = "1"\n       claims.rooms = \["1"\]\n$`},
		{line: `check --as ann --subscribe chat:1`, code: 1,
			out: `^no:    ann may not subscribe to chat:1\n.*claims.rooms is not there\ntold:  forbidden: .*the rule chat:\{room\}.allow.subscribe could not be decided\ncause: it needs "rooms"`},
		{line: `check ringdown.yaml --as '{"uid":"ann","roles":["writer"]}' --publish chat:1 message '{"text":"hi"}'`, out: `^yes:   ann may publish message to chat:1\n`},
		{line: `check --as '{"uid":"ann","roles":["writer"]}' --publish chat:1 message '{"txet":"hi"}'`, code: 1, out: `^no: .*rule: .*told:  invalid_data: .*text`},
		{line: `check --as '{"uid":"ann","roles":["writer"]}' --publish chat:1 massage`, code: 1, out: `declares no event "massage"`},
		{line: `check --publish chat:1 message '{broken'`, code: 2, err: `not JSON`},
		{line: `check --publish chat:1`, code: 2, err: `say which event`},
		{line: `check --as '{"uid":"ann","ringdown":{"chat:*":["subscribe"]}}' --subscribe chat:9`, out: `^yes: .*not asked: chat.*with:  claims.ringdown\["chat:\*"\] = \["subscribe"\]`},
		{line: `check --as '{"uid":"ann","ringdown":{"news":["-presence"]}}' --presence news`, code: 1, out: `^no: .*denied by the capabilities`},
		{line: `check --presence news`, code: 1, out: `^no:    somebody who is not signed in may not be present in news\n.*with:  user = ""`},
		{line: `check --history news --json`, out: `"allowed": true,.*"by": "rule",\n  "rule": "news.allow.subscribe",\n  "file": "ringdown.yaml",\n  "line": 14`},
		{line: `check --as '{"uid":"ann"}' --subscribe nowhere --json`, code: 1, out: `"allowed": false,.*"by": "channel",.*"code": "not_found"`, err: "^$"},
		{line: `check key.yaml --subscribe a`, code: 1, out: `told:  unauthorized: nobody without a token is let in`},
		{line: `check --as '{"sub":"ann"}' --subscribe news`, code: 2, err: `no claim "uid"`},
		{line: `check --as ann`, code: 2, err: `say what with --subscribe`},
		{line: `check --subscribe a --history b`, code: 2, err: `one thing at a time`},

		{line: "token --user ann --expires 1d", out: `^[\w-]+\.[\w-]+\.[\w-]+\n$`},
		{line: "__complete check --subscribe ''", out: `chat:\nnews\n:`},
		{line: "__complete sub n", out: `news\n:`},
		{line: "__complete serve --engine ''", out: `epoll\nstd\n:`},
		{line: "__complete token --algorithm ''", out: `HS256\nRS256\nES256\nEdDSA\n`},
		{line: "__complete check ''", out: `yaml\nyml\n`},
	} {
		run(t, s, strings.NewReplacer())
	}
	if err := os.Remove("ringdown.yaml"); err != nil {
		t.Fatal(err)
	}
	run(t, session{line: "serve", code: 2, err: `there is no ./ringdown.yaml; name a file with --config`}, strings.NewReplacer())
	run(t, session{line: "check", code: 1, err: `ringdown.yaml: there is no such file`}, strings.NewReplacer())
}

// TestEveryCommandHasExamples: --help shows how it is used.
func TestEveryCommandHasExamples(t *testing.T) {
	root, _ := newRoot(Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	queue := root.Commands()
	for i := 0; i < len(queue); i++ {
		c := queue[i]
		queue = append(queue, c.Commands()...)
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s has no examples or no short text", c.CommandPath())
		}
	}
}

// TestRemoteSessions: the commands that speak to a running server.
func TestRemoteSessions(t *testing.T) {
	srv, err := ringdown.New(ringdown.Options{
		Config: []byte("auth: {anonymous: true, keys: [a-key-of-at-least-sixteen-bytes]}\n" +
			"channels:\n  - {name: news, history: {messages: 100}, events: {e: {schema: {type: [object, string, number]}}}, allow: {subscribe: anyone}}\n" +
			"  - {name: closed, history: {messages: 100}, allow: {subscribe: none}}\n"),
		Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("RINGDOWN_TOKEN", "")
	t.Setenv("RINGDOWN_API_KEY", "")
	at := strings.NewReplacer("AT", srv.Addr().String(), "WITHKEY", "-t a-key-of-at-least-sixteen-bytes")
	for _, s := range []session{
		{line: `pub news e '{"n":1}' --url http://AT`, code: 1, err: `refused \(unauthorized\).*RINGDOWN_API_KEY`},
		{line: `pub news e '{"n":1}' --url http://AT WITHKEY`, out: `"offset":1`},
		{line: `pub news e '{"n":2}' --url ws://AT/v1/ws WITHKEY`, out: `"offset":2`},
		{line: `pub news e '{"n":3' --url ws://AT WITHKEY`, code: 2, err: `not JSON.*--text`},
		{line: `pub news e '{"n":3' --text --url ws://AT WITHKEY`, out: `"offset":3`},
		{line: `pub news e - --url ws://AT WITHKEY`, in: "1\n\n2\nthree\n4\n", code: 1, out: `"offset":4.*"offset":5`, err: `^ringdown: line 4: the data is not JSON`},
		{line: `pub news e - --continue --url ws://AT WITHKEY`, in: "1\nthree\ntrue\n4\n", code: 1, out: `"offset":6.*"offset":7`, err: `line 2: .*line 3: refused \(invalid_data\).*2 lines of 4 could not be published`},
		{line: `pub news e - --dedupe x --url ws://AT WITHKEY`, code: 2, err: `--dedupe is for one event`},
		{line: `pub news e 1 --url http://127.0.0.1:1`, code: 1, err: `no answer from http://127.0.0.1:1.*Is the server running`},
		{line: `sub news --last 2 -n 2 --url http://AT`, out: `"offset":6.*"offset":7`},
		{line: `sub news --last 1 -n 1 --url ws://AT/v1/ws`, out: `^\{"type":"e".*"offset":7`},
		{line: `sub closed --last 1 -n 1 --url ws://AT`, code: 1, err: `closed.allow.subscribe`},
		{line: `pub closed e 1 --url ws://AT WITHKEY`, out: `"offset":1`},
		{line: `sub closed --last 1 -n 1 --url ws://AT WITHKEY`, out: `"offset":1`},
		{line: `sub nowhere --url ws://AT`, code: 1, err: `not_found`},
	} {
		run(t, s, at)
	}
}
