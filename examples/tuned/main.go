// Command tuned is a workload with pkg/drain that measures how long its requests
// take, as most services do: from that, its DrainPolicy works out how long its
// pods may take to end.
package main

import (
	"flag"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/drain-operator/drain-operator/examples/internal/work"
	"github.com/drain-operator/drain-operator/pkg/drain"
)

// buckets of the histogram, in seconds. A percentile is never taken to be less
// than the upper bound of its bucket: where requests may be slow, bounds that
// are far apart make the grace longer than it has to be.
var buckets = []float64{.1, .25, .5, .75, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30}

func main() {
	var options drain.Options
	flag.StringVar(&options.Address, "status-addr", drain.DefaultAddress, "`address` to serve /drain-status and /drain on")
	flag.DurationVar(&options.ShutdownTimeout, "timeout", time.Second/2, "`time` for what is left after SIGTERM")
	metricsAddr := flag.String("metrics-addr", ":9090", "`address` to serve /metrics on")
	leaky := flag.Bool("leaky", false, "count one request too many for ever after each POST /leak, on the address of /metrics")
	addr := work.Parse("measures its requests, drains with pkg/drain, and shuts down on SIGTERM")
	ctx, stop := work.UntilSignal()
	defer stop()

	registry, d, srv := prometheus.NewRegistry(), drain.New(options), work.Server(addr)
	srv.Handler = measured(registry, srv.Handler)
	page, err := new(net.ListenConfig).Listen(ctx, "tcp", *metricsAddr)
	if err != nil {
		work.Exit(err)
	}
	go func() { work.Exit(metrics(registry, d, *leaky).Serve(page)) }()
	work.Exit(d.Run(ctx, srv))
}

// measured counts the requests for work, by how long they take. Probes are not
// among them: they would make the service look faster than it is.
func measured(registry prometheus.Registerer, handler http.Handler) http.Handler {
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time from a request to the end of its response.", Buckets: buckets,
	}, []string{"route"})
	registry.MustRegister(latency)
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.Handle("/work", promhttp.InstrumentHandlerDuration(latency.MustCurryWith(prometheus.Labels{"route": "/work"}), handler))
	return mux
}

// metrics serves the metrics page and, if asked to, the fault that counters of
// requests in flight have: one that is never counted down again. A pod with it
// never says that it has drained.
func metrics(registry prometheus.Gatherer, d *drain.Drainer, leaky bool) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	if leaky {
		mux.HandleFunc("POST /leak", func(http.ResponseWriter, *http.Request) { d.Begin() })
	}
	return &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
}
