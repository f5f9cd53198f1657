package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/drain-operator/drain-operator/internal/certs"
)

// server serves webhooks on a loopback port of its own.
type server struct {
	http   http.Server
	url    string
	bundle []byte
	// called is set by the first request.
	called atomic.Bool
}

func serve(ctx context.Context, handlers map[string]http.Handler) (*server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving the webhooks: %w", err)
	}
	made, err := certs.Make(certs.Terms{Hosts: []string{"127.0.0.1"}, Validity: 24 * time.Hour})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	pair, err := tls.X509KeyPair(made.Cert, made.Key)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("loading the webhooks' certificate: %w", err), listener.Close())
	}
	s := &server{url: "https://" + listener.Addr().String(), bundle: made.Cert}
	s.http.Handler = s.noting(handlers)
	s.http.ReadHeaderTimeout = 10 * time.Second
	go func() {
		_ = s.http.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	}()
	return s, nil
}

// noting notes that somebody called.
func (s *server) noting(handlers map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	for path, handler := range handlers {
		mux.Handle(path, handler)
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.called.Store(true)
		mux.ServeHTTP(rw, r)
	})
}

func (s *server) stop() error { return s.http.Close() }
