// Command workload is a server for the journeys in test/e2e that misbehaves on
// request. It tells when SIGTERM came and what was under way then, so that a
// test sees a cut request from inside the pod as well as from its client.
//
// It answers on its work address:
//
//	/work?ms=40&flush=1  after 40 ms; with flush the headers go out at once
//	/healthz, /readyz    200
//	/deadlock            200; from then on nothing above answers any more
//	/say?status=hang     200; from then on the drain status is as with -status=hang
//
// and on its status address, as -status says:
//
//	/drain-status  the drain-status protocol, with long-poll
//	/idle          204 when nothing is in flight, 503 otherwise
//	/metrics       a Prometheus page with workload_in_flight and the histogram
//	               workload_request_duration_seconds
//	/drain         takes the notification
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	addr        string
	podIPOnly   bool
	term        string
	softStop    bool
	exitAfter   time.Duration
	statusAddr  string
	status      string
	fillMiB     int
	proxyTo     string
	report      string
	closeOnNote bool
	flush       bool
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", ":8080", "address of the work")
	flag.BoolVar(&o.podIPOnly, "listen-pod-ip", false, "listen on the address in POD_IP only")
	flag.StringVar(&o.term, "term", "exit", "on SIGTERM: exit | shutdown | ignore")
	flag.BoolVar(&o.softStop, "soft-stop", false, "on SIGQUIT finish what is in flight and end, as nginx does")
	flag.DurationVar(&o.exitAfter, "exit-after", 0, "on SIGTERM with -term=exit: how long flushing and closing take")
	flag.StringVar(&o.statusAddr, "status-addr", "", "address of the drain status; none when empty")
	flag.StringVar(&o.status, "status", "ok", "drain status: ok | busy | hang | garbage | huge | redirect | http500 | closes | gone")
	flag.IntVar(&o.fillMiB, "fill-memory", 0, "grow to this resident size, in MiB")
	flag.StringVar(&o.proxyTo, "proxy-to", "", "relay connections to this address instead of working")
	flag.StringVar(&o.report, "report", "/dev/termination-log", "file that reports are appended to, none when empty")
	flag.BoolVar(&o.closeOnNote, "close-when-notified", true, "answer with Connection: close once notified")
	flag.BoolVar(&o.flush, "flush", false, "send the headers before the work, whatever the request says")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	soft := make(chan os.Signal, 1)
	if o.softStop {
		signal.Notify(soft, syscall.SIGQUIT)
	}
	w := newWork(newReporter(o.report), o.closeOnNote, o.flush)
	fillMemory(o.fillMiB)
	failed := make(chan error, 2)
	if o.statusAddr != "" {
		if err := serveStatus(o, w, failed); err != nil {
			return err
		}
	}
	stop, err := serveWork(o, w, failed)
	if err != nil {
		return err
	}
	w.report("started")
	select {
	case err := <-failed:
		return err
	case <-soft:
		w.report("stop")
		return softly(term, stop)
	case <-term:
	}
	return end(o, w, stop)
}

// serveWork answers requests, or relays connections to what does. stop ends it
// as a graceful server does.
func serveWork(o options, w *work, failed chan<- error) (stop func() error, err error) {
	l, err := o.listen(o.addr)
	if err != nil {
		return nil, err
	}
	if o.proxyTo != "" {
		go func() { failed <- relay(l, o.proxyTo, w) }()
		return l.Close, nil
	}
	s := &http.Server{Handler: w.handler(), ReadHeaderTimeout: time.Minute}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return func() error { return shutdown(s) }, nil
}

// listen listens on addr, at the pod's address if that is asked for.
func (o options) listen(addr string) (net.Listener, error) {
	if o.podIPOnly {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addr = net.JoinHostPort(os.Getenv("POD_IP"), port)
	}
	return net.Listen("tcp", addr)
}

// softly ends when nothing is in flight any more, and at once on SIGTERM.
func softly(term <-chan os.Signal, stop func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	select {
	case err := <-ended:
		return err
	case <-term:
		return errors.New("cut by SIGTERM while it ended softly")
	}
}

// end does what the test wants to happen on SIGTERM.
func end(o options, w *work, stop func() error) error {
	w.report("sigterm")
	switch o.term {
	case "exit":
		time.Sleep(o.exitAfter)
		return nil
	case "shutdown":
		err := stop()
		w.report("exit")
		return err
	case "ignore":
		select {} // until SIGKILL
	}
	return fmt.Errorf("-term %q is none of exit, shutdown and ignore", o.term)
}
