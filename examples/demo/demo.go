// Package demo runs the examples on one server, with a gallery that leads to each:
// what `ringdown demo` shows.
//
// A demo is open by design: everybody may be anybody, staff included, by asking
// for a token at /demo/token?user=NAME. Do not put it where strangers are.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringdown"
	"ringdown/examples/demo/stage"
)

// own is the configuration of the demo without its apps.
//
//go:embed ringdown.yaml
var own []byte

//go:embed web
var web embed.FS

// Options say where the demo runs. The zero value is usable.
type Options struct {
	Listen  string       // default 127.0.0.1:8000
	DataDir string       // kept over restarts; if empty, a temporary one that is removed at the end
	APIKey  string       // at least 16 bytes; a random one if empty
	Apps    []string     // which of Names; default all
	Trucks  int          // how many drive about; default 500
	Logger  *slog.Logger // default slog.Default()
	Out     io.Writer    // hears what to try; default os.Stdout
}

// Run runs the demo until ctx ends, which is not an error. Nothing is left
// running when it returns.
func Run(ctx context.Context, o Options) (err error) {
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:8000")
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Out == nil {
		o.Out = os.Stdout
	}
	randomKey := o.APIKey == ""
	if randomKey {
		o.APIKey = stage.RandomKey()
	}
	remove, err := dataDir(&o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()

	d, err := open(o)
	if err != nil {
		return err
	}
	// What was opened is stopped by Serve, unless Serve could not even listen;
	// stopping twice does no harm.
	defer func() { err = errors.Join(err, d.stop(context.WithoutCancel(ctx))) }()
	parts := []stage.Part{d.server}
	for _, a := range d.apps {
		parts = append(parts, a)
	}
	ready := func(a net.Addr) {
		d.ready(a)
		o.introduce(a, randomKey)
	}
	defer context.AfterFunc(ctx, func() { fmt.Fprintln(o.Out, "\n  Going down: everybody is told.") })()
	err = stage.Serve(ctx, o.Listen, d.routes(), o.Logger, ready, parts...)
	if err == nil {
		fmt.Fprintln(o.Out, "  Goodbye.")
	}
	return err
}

func dataDir(o *Options) (remove func() error, err error) {
	if o.DataDir != "" {
		return func() error { return nil }, os.MkdirAll(o.DataDir, 0o700)
	}
	if o.DataDir, err = os.MkdirTemp("", "ringdown-demo-"); err != nil {
		return nil, err
	}
	dir := o.DataDir
	return func() error { return os.RemoveAll(dir) }, nil
}

// demo is one running demo.
type demo struct {
	config []byte
	gate   *stage.Gate
	server *ringdown.Server
	names  []string // of the apps
	apps   []stage.App
}

func open(o Options) (d *demo, err error) {
	chosen, err := choose(o.Apps)
	if err != nil {
		return nil, err
	}
	d = &demo{config: config(chosen)}
	if d.gate, err = stage.OpenGate(o.DataDir, o.APIKey); err != nil {
		return nil, err
	}
	d.server, err = ringdown.New(ringdown.Options{
		Config: d.config,
		Env:    d.gate.Env,
		// In a file of one's own: store: {dir: ./data}
		StoreDir: filepath.Join(o.DataDir, "messages"),
		Logger:   o.Logger,
	})
	if err != nil {
		return nil, err
	}
	at := stage.Setting{Server: d.server, Gate: d.gate, Dir: o.DataDir, Logger: o.Logger}
	for _, a := range chosen {
		opened, err := a.open(at, &o)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", a.name, err), d.stop(context.Background()))
		}
		d.names, d.apps = append(d.names, a.name), append(d.apps, opened)
	}
	return d, nil
}

// stop stops the apps, the last first.
func (d *demo) stop(ctx context.Context) (err error) {
	for _, a := range slices.Backward(d.apps) {
		err = errors.Join(err, a.Stop(ctx))
	}
	return err
}

// ready tells the apps that dial the demo where it is.
func (d *demo) ready(address net.Addr) {
	for _, a := range d.apps {
		if dialer, ok := a.(stage.Dialer); ok {
			dialer.Ready(address)
		}
	}
}

// routes puts the demo's own pages beside the server, which answers the rest.
func (d *demo) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", d.server.Handler())
	for _, a := range d.apps {
		a.Routes(mux)
	}
	mux.HandleFunc("GET /demo/token", d.gate.ServeToken)
	mux.Handle("GET /demo/ringdown.yaml", stage.File("ringdown.yaml", d.config))
	mux.Handle("GET /demo/about/{app}", stage.About())
	mux.Handle("GET /demo/assets/served.js", stage.Served(d.names...))
	sub, _ := fs.Sub(web, "web")
	pages := stage.Pages(sub)
	mux.Handle("/demo/", http.StripPrefix("/demo", pages))
	mux.Handle("/demo/assets/", stage.Assets())
	mux.Handle("GET /{$}", pages)
	return mux
}

// hints are what to try first, each of an app.
var hints = []struct{ app, path, does string }{
	{"shop", "/shop/?user=ann", "order something as ann"},
	{"shop", "/shop/staff", "ship it as staff"},
	{"chat", "/chat/?user=ben", "talk"},
	{"trucks", "/trucks/", "watch trucks on a map"},
	{"document", "/document/?user=ann", "write a text with others"},
	{"game", "/game/", "gather bells"},
	{"shop", "/demo/plain.html", "twenty lines of JavaScript, no SDK"},
}

func (o *Options) introduce(a net.Addr, randomKey bool) {
	url, phone := "http://"+a.String(), ""
	if host, port, err := net.SplitHostPort(a.String()); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			url = "http://localhost:" + port
			if own := ownAddress(); own != "" {
				phone = "http://" + net.JoinHostPort(own, port)
			}
		}
	}
	apps := o.Apps
	if len(apps) == 0 {
		apps = Names()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n  Ringdown demo   %s\n\n  In its gallery: %s\n\n  Put two windows side by side:\n", url, strings.Join(apps, ", "))
	for _, h := range hints {
		if slices.Contains(apps, h.app) {
			fmt.Fprintf(&b, "    %-42s%s\n", url+h.path, h.does)
		}
	}
	if slices.Contains(apps, "shop") {
		fmt.Fprintf(&b, `
  From a shell:
    TOKEN=$(curl -s '%s/demo/token?user=ann' | cut -d'"' -f4)
    curl %[1]s/shop/orders -H "Authorization: Bearer $TOKEN" \
      -d '{"lines":[{"product":"bell-collar","quantity":1}]}'
`, url)
	}
	if phone != "" {
		fmt.Fprintf(&b, "\n  From a phone in the same network: %s\n%s", phone, code(phone))
	}
	if randomKey {
		fmt.Fprintf(&b, "\n  API key for programs, until this process ends (set RINGDOWN_API_KEY to choose it):\n    %s\n", o.APIKey)
	}
	fmt.Fprintf(&b, "\n  Data in %s. Everybody may be anybody here: keep it to yourself. Ctrl-C ends it.\n\n", o.DataDir)
	o.Out.Write(b.Bytes())
}
