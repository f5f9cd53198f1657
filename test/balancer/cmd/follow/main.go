// Command follow is a small ingress controller for tests: it runs HAProxy or
// nginx, and leads it after the endpoints of one Service.
//
//	follow -proxy=haproxy -service=web-haproxy
//	follow await 10.96.1.2:80      ends when something answers there
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/drain-operator/drain-operator/test/balancer/follow"
)

type options struct {
	proxy, service, namespace string
	delay                     int
	checks                    bool
	listen, ready, dir        string
}

func main() {
	var o options
	flag.StringVar(&o.proxy, "proxy", "haproxy", "haproxy or nginx")
	flag.StringVar(&o.service, "service", "", "Service whose endpoints get requests")
	flag.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "its namespace")
	flag.IntVar(&o.delay, "delay-seconds", 0, "for how long an endpoint that is not ready any more still gets requests")
	flag.BoolVar(&o.checks, "checks", false, "HAProxy: ask the endpoints for their health every 2 s, on the port of their work")
	flag.StringVar(&o.listen, "listen", "0.0.0.0:8080", "address of the proxy")
	flag.StringVar(&o.ready, "ready", ":8081", "address of /readyz: 200 once a pod has answered through the proxy")
	flag.StringVar(&o.dir, "dir", "/run/follow", "folder for the proxy's files")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "follow:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, args []string) error {
	if len(args) == 2 && args[0] == "await" {
		return await(ctx, args[1])
	}
	p, err := start(ctx, o)
	if err != nil {
		return err
	}
	running, cancel := context.WithCancelCause(ctx)
	go func() { cancel(p.wait()) }()
	go func() { cancel(serveReady(running, o)) }()
	changed, ready, err := watchEndpoints(running, o)
	if err != nil {
		return err
	}
	lead(running, p, time.Duration(o.delay)*time.Second, changed, ready)
	if cause := context.Cause(running); ctx.Err() == nil {
		return cause
	}
	return nil // told to end
}

// lead applies to the proxy what becomes of the endpoints, until it is cancelled.
func lead(ctx context.Context, p proxy, delay time.Duration, changed <-chan struct{}, ready func() []follow.Target) {
	lag := follow.Lag{Delay: delay}
	for {
		serving, again := lag.Serving(time.Now(), ready())
		unfinished, err := p.apply(serving)
		if err != nil {
			fmt.Fprintln(os.Stderr, "follow:", err) // and again, in a moment
		}
		pause := time.Hour
		if !again.IsZero() {
			pause = time.Until(again)
		}
		if unfinished || err != nil {
			pause = min(pause, retryAfter)
		}
		timer := time.NewTimer(max(0, pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// retryAfter is when to look again after what the proxy has not finished.
const retryAfter = 200 * time.Millisecond

// serveReady is ready for good once a pod has answered through the proxy, which
// is then left alone: what asks all the time is traffic, too.
func serveReady(ctx context.Context, o options) error {
	answered := make(chan struct{})
	go func() {
		if await(ctx, o.listen) == nil {
			close(answered)
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
		select {
		case <-answered:
		default:
			http.Error(rw, "no pod has answered yet", http.StatusServiceUnavailable)
		}
	})
	s := &http.Server{Addr: o.ready, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return s.ListenAndServe()
}

// await asks until there is an answer that is not a proxy's excuse.
func await(ctx context.Context, address string) error {
	client := &http.Client{
		Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	tick := time.NewTicker(retryAfter)
	defer tick.Stop()
	for !answers(ctx, client, "http://"+address+"/") {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // nobody reads it
	switch response.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

func (o options) file(name string) string { return filepath.Join(o.dir, name) }
