package drain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Run serves srv and the drain status until ctx is done, which is meant to be
// at SIGTERM, and then ends gracefully: it drains, lets srv shut down, and waits
// for hijacked connections, all within Options.ShutdownTimeout. The drain status
// is served to the end. It listens on srv.Addr as ListenAndServe does, with TLS
// where srv.TLSConfig has certificates.
//
// It returns nil where nothing was cut, or long-lived connections only; an
// error that says how many requests were cut; or the error for which serving
// was not possible.
func (d *Drainer) Run(ctx context.Context, srv *http.Server) error {
	var config net.ListenConfig
	main, err := config.Listen(ctx, "tcp", cmp.Or(srv.Addr, defaultPort(srv)))
	if err != nil {
		return err
	}
	if d.options.SharedPort {
		return d.Serve(ctx, srv, main, nil)
	}
	status, err := config.Listen(ctx, "tcp", d.options.Address)
	if err != nil {
		return fmt.Errorf("listener of the drain status: %w", errors.Join(err, main.Close()))
	}
	return d.Serve(ctx, srv, main, status)
}

// Serve is Run on listeners that are there already. Without a listener for the
// drain status none is served.
func (d *Drainer) Serve(ctx context.Context, srv *http.Server, main, status net.Listener) (err error) {
	d.Instrument(srv)
	if status != nil {
		statusCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		over := make(chan error, 1)
		go func() { over <- d.ServeStatus(statusCtx, status) }()
		defer func() { stop(); err = errors.Join(err, <-over) }()
	}
	served := make(chan error, 1)
	go func() { served <- serve(srv, main) }()
	select {
	case err := <-served:
		if !errors.Is(err, http.ErrServerClosed) { // else somebody called Shutdown
			return err
		}
	case <-ctx.Done():
	}
	return d.shutDown(context.WithoutCancel(ctx), srv)
}

// ServeStatus serves the drain status and the notification on a listener of
// their own until ctx is done. Unless it is on loopback a notification needs
// the token. Run calls it by itself.
func (d *Drainer) ServeStatus(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle(d.options.StatusPath, d.StatusHandler())
	mux.Handle(d.options.NotifyPath, d.notifyHandlerOn(ln.Addr()))
	srv := &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the waits
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	stopped := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(stopped)
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = errors.Join(srv.Shutdown(bounded), srv.Close())
	})()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped // the last answers are out
	return nil
}

func (d *Drainer) notifyHandlerOn(a net.Addr) http.Handler {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return d.trustedNotifyHandler()
	}
	return d.NotifyHandler()
}

// shutDown ends the server within the timeout, and closes what is left.
func (d *Drainer) shutDown(ctx context.Context, srv *http.Server) error {
	d.SetDraining(true)
	d.notices.hasten(d.options.ShutdownTimeout / 2) // the rest of it is theirs, to end
	ctx, cancel := context.WithTimeout(ctx, d.options.ShutdownTimeout)
	defer cancel()
	err := srv.Shutdown(ctx)
	if err == nil {
		err = d.ledger.wait(ctx, d.ledger.noneLeft)
	}
	if err == nil {
		return nil
	}
	left := d.Status()
	_ = srv.Close() // the process ends: what fails to close is closed by the kernel
	if left.InFlight > 0 {
		return fmt.Errorf("%d requests in flight were cut after %v: %w", left.InFlight, d.options.ShutdownTimeout, err)
	}
	return nil
}

func serve(srv *http.Server, ln net.Listener) error {
	if hasCertificates(srv) {
		return srv.ServeTLS(ln, "", "")
	}
	return srv.Serve(ln)
}

func defaultPort(srv *http.Server) string {
	if hasCertificates(srv) {
		return ":https"
	}
	return ":http"
}

func hasCertificates(srv *http.Server) bool {
	c := srv.TLSConfig
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}
