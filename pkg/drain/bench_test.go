package drain

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// nothing is a ResponseWriter without a cost of its own, that can what the
// server's can for HTTP/1.
type nothing struct {
	http.Hijacker
	header http.Header
}

func (n nothing) Header() http.Header       { return n.header }
func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) WriteHeader(int)             {}

var small = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })

// The cost of the middleware alone, on one core and on all.
func BenchmarkMiddleware(b *testing.B) {
	d := New(Options{})
	for name, h := range map[string]http.Handler{"without": small, "with": d.Middleware(small)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w, r := nothing{header: http.Header{}}, httptest.NewRequest("GET", "/", nil)
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
		b.Run(name+" in parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				w, r := nothing{header: http.Header{}}, httptest.NewRequest("GET", "/", nil)
				for p.Next() {
					h.ServeHTTP(w, r)
				}
			})
		})
	}
}

// A whole request on a keep-alive connection over loopback, to compare with.
func BenchmarkServer(b *testing.B) {
	for name, prepare := range map[string]func(*http.Server){"without": func(*http.Server) {}, "with": New(Options{}).Instrument} {
		b.Run(name, func(b *testing.B) {
			s := httptest.NewUnstartedServer(small)
			prepare(s.Config)
			s.Start()
			defer s.Close()
			b.ReportAllocs()
			for b.Loop() {
				if a := get(s.Client(), "GET", s.URL, nil); a.err != nil {
					b.Fatal(a.err)
				}
			}
		})
	}
}

// The time from the end of the last request until a long poll is answered, as
// its p50 and p99.
func BenchmarkRelease(b *testing.B) {
	d := New(Options{})
	s := httptest.NewServer(d.StatusHandler())
	defer s.Close()
	var took []time.Duration
	for b.Loop() {
		end := d.Begin()
		polled := going(s.Client(), "GET", s.URL+"?waitSeconds=30")
		for d.ledger.change.waiting.Load() == 0 {
			time.Sleep(50 * time.Microsecond)
		}
		over := time.Now()
		end()
		if a := <-polled; a.err != nil || a.code != 200 {
			b.Fatalf("%+v", a)
		}
		took = append(took, time.Since(over))
		for d.ledger.change.waiting.Load() != 0 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

// Reading the status with many requests in flight.
func BenchmarkStatus(b *testing.B) {
	d := New(Options{})
	for range 10_000 {
		defer d.Begin()()
	}
	b.ReportAllocs()
	for b.Loop() {
		if d.Status().InFlight != 10_000 {
			b.Fatal("lost some")
		}
	}
}
