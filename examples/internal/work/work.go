// Package work is what the example workloads have in common: a handler that
// takes its time, and the command line.
package work

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	maxMillis    = 60_000
	maxBodyBytes = 16 << 20
)

// Done is the answer to a piece of work.
type Done struct {
	Pod    string `json:"pod"`
	Method string `json:"method"`
	Millis int    `json:"ms"`
	Bytes  int64  `json:"bytes"` // of the request's body
}

// Parse reads the command line: -addr, and whatever flags were defined before.
// About completes the sentence "This workload ..." in --help.
func Parse(about string) (addr string) {
	flag.StringVar(&addr, "addr", ":8080", "`address` to serve /work and /healthz on")
	flag.Usage = func() {
		out := flag.CommandLine.Output()
		_, _ = fmt.Fprintf(out, "This workload %s.\n\n"+
			"GET or POST /work?ms=N answers after N milliseconds, at most %d;\n"+
			"with flush=1 it sends the headers first. GET /healthz answers 200.\n\n", about, maxMillis)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	return addr
}

// Server serves the work on an address.
func Server(addr string) *http.Server {
	log.Printf("serving on %s", addr)
	return &http.Server{Addr: addr, Handler: Handler(Name()), ReadHeaderTimeout: 10 * time.Second}
}

// UntilSignal returns a context that is done at SIGTERM or SIGINT. A process
// that is the first of its container has to ask for SIGTERM: the kernel does
// not end it by default. The signal is logged, so that a log tells when it came.
func UntilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		defer signal.Stop(signals)
		select {
		case s := <-signals:
			log.Printf("got %s", map[os.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT"}[s])
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Exit ends the process: with an error the code is 1. That a server was shut
// down is none.
func Exit(err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	log.Print("the end")
}

// Handler serves /work and /healthz in the name of a pod.
func Handler(pod string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	work := worker(pod)
	mux.HandleFunc("GET /work", work)
	mux.HandleFunc("POST /work", work)
	return mux
}

func worker(pod string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ms, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("ms"), "0"))
		if err != nil || ms < 0 || ms > maxMillis {
			http.Error(w, fmt.Sprintf("ms must be in 0..%d", maxMillis), http.StatusBadRequest)
			return
		}
		n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBodyBytes))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("flush") == "1" {
			_ = http.NewResponseController(w).Flush() // what is not sent now is sent at the end
		}
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-r.Context().Done():
			return // nobody waits for the answer any more
		}
		_ = json.NewEncoder(w).Encode(Done{Pod: pod, Method: r.Method, Millis: ms, Bytes: n})
	}
}

// Name is that of the pod, which is also its host name unless it uses the
// node's.
func Name() string {
	host, _ := os.Hostname() // the answer is as good without
	return cmp.Or(os.Getenv("POD_NAME"), host)
}
