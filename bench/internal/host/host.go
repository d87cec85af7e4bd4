// Package host is what the Go servers of this benchmark have in common: how they
// are told where to listen, say so, settle before they are weighed, and are
// profiled. Nothing in it is on a path that is measured.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // on http.DefaultServeMux, served only with -pprof
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

// SettlePath has the server collect garbage and give free memory back.
const SettlePath = "/settle"

// Serve parses the flags, serves handler and SettlePath until an interrupt, and
// prints "listening <address>" once it does. It returns what went wrong.
func Serve(handler http.Handler) error {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on; port 0 picks a free one")
	profile := flag.String("pprof", "", "address to serve net/http/pprof on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *profile != "" {
		go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(*profile, nil)) }()
	}
	// tcp4: a dual-stack socket costs the kernel 127 bytes more per connection.
	listener, err := net.Listen("tcp4", *addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+SettlePath, settle)
	mux.Handle("/", handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Println("listening", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// settle answers with the number of objects left on the heap.
func settle(w http.ResponseWriter, _ *http.Request) {
	runtime.GC()
	debug.FreeOSMemory()
	sample := []metrics.Sample{{Name: "/gc/heap/objects:objects"}}
	metrics.Read(sample)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]uint64{"heap_objects": sample[0].Value.Uint64()})
}
