package main

import (
	"context"
	"net/http"
	"time"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// partingTime is how long a replica that is told to end goes on as before, but
// for having its clients come back on other connections. Endpoints have dropped
// it seconds ago (preStop), so these lead to other replicas.
//
// API servers keep connections to webhooks, over HTTP/1.1. A server that shuts
// down closes those that are idle, and the request that is on its way there is
// lost: nobody may send it twice, and its pod passes as it is.
const partingTime = 2 * time.Second

// later returns a context that ends so long after ctx does.
func later(ctx context.Context, d time.Duration) context.Context {
	delayed, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
	})
	return delayed
}

// partingServer is a webhook server that, once it is told to end, lets each
// connection go with the next answer on it.
type partingServer struct {
	ctrlwebhook.Server
	told context.Context
}

// Register implements webhook.Server.
func (s partingServer) Register(path string, hook http.Handler) {
	s.Server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.told.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		hook.ServeHTTP(w, r)
	}))
}
