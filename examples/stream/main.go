// Command stream is a workload with connections that do not end by themselves:
// an event stream and a WebSocket. While it drains, or when a connection is too
// old, their clients are told to connect elsewhere, one after the other.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/drain-operator/drain-operator/examples/internal/work"
	"github.com/drain-operator/drain-operator/pkg/drain"
)

// retryMillis is how long a client of the event stream is to wait before it
// connects again. It may be short: the clients are not told all at once.
const retryMillis = 200

// reconnects is the subprotocol of clients of the WebSocket that understand
// {"reconnect": true}: they send no more, wait for what is under way, and close.
// Nothing crosses the end of the connection then. Others are told by close code
// 1012, and have to send again what did not come back.
const reconnects = "echo.reconnect"

// patience bounds the time that such a client has.
const patience = 5 * time.Second

func main() {
	var options drain.Options
	flag.StringVar(&options.Address, "status-addr", drain.DefaultAddress, "`address` to serve /drain-status and /drain on")
	flag.DurationVar(&options.ShutdownTimeout, "timeout", drain.DefaultShutdownTimeout, "`time` for what is left after SIGTERM")
	flag.DurationVar(&options.NoticeTime, "notice", drain.DefaultNoticeTime, "`time` over which clients are told to go, where the notification says nothing")
	flag.DurationVar(&options.MaxConnectionAge, "max-connection-age", 0, "`time` after which a client is told to go, give or take a tenth; 0 is never")
	period := flag.Duration("period", time.Second, "`time` between two events of /events")
	addr := work.Parse("serves an event stream (/events) and a WebSocket that sends back what it gets (/ws), and drains with pkg/drain")
	ctx, stop := work.UntilSignal()
	defer stop()

	srv := work.Server(addr)
	mux := http.NewServeMux()
	mux.Handle("/", srv.Handler)
	mux.HandleFunc("GET /events", events(*period))
	mux.HandleFunc("GET /ws", echo)
	srv.Handler = mux
	work.Exit(drain.New(options).Run(ctx, srv))
}

// events sends the time. Its last word is how soon to come back.
func events(period time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		drain.LongLived(r)
		notice := drain.Notice(r.Context())
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pod", work.Name())
		tick := time.NewTicker(period)
		defer tick.Stop()
		for now := time.Now(); ; {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", now.UTC().Format(time.RFC3339Nano))
			if err := http.NewResponseController(w).Flush(); err != nil {
				return // the client is gone
			}
			select {
			case now = <-tick.C:
			case <-notice:
				_, _ = fmt.Fprintf(w, "retry: %d\n\n", retryMillis)
				return
			case <-r.Context().Done():
				return
			}
		}
	}
}

// echo sends back what it gets. A WebSocket is long-lived from its upgrade on.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Pod", work.Name())
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{reconnects}})
	if err != nil {
		return // the client has been told
	}
	ctx, ended := context.WithCancel(r.Context())
	told := make(chan struct{})
	go func() {
		defer close(told)
		select {
		case <-drain.Notice(r.Context()):
			tell(ctx, conn)
		case <-ctx.Done():
		}
		_ = conn.CloseNow()
	}()
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			break
		}
		if err := conn.Write(ctx, kind, message); err != nil {
			break
		}
	}
	ended()
	<-told
}

// tell has a client connect to another pod. ctx is done when the client has gone.
func tell(ctx context.Context, conn *websocket.Conn) {
	if conn.Subprotocol() == reconnects {
		hint := fmt.Appendf(nil, `{"reconnect": true, "afterMillis": %d}`, retryMillis)
		if err := conn.Write(ctx, websocket.MessageText, hint); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(patience):
		}
	}
	// 1012: come back. It waits for the client to agree.
	_ = conn.Close(websocket.StatusServiceRestart, "connect again")
}
