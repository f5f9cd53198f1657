package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

func unreadable(why string) drainstatus.Reading { return drainstatus.NotReadable("%s", why) }

// redirectsTo sends to another endpoint, which says drained.
func redirectsTo(t *testing.T, asked *atomic.Int64) http.HandlerFunc {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, bodyDrained)
	}))
	t.Cleanup(other.Close)
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }
}

func TestAsk(t *testing.T) {
	var elsewhere atomic.Int64
	drained := drainstatus.Reading{State: drainstatus.Drained, Reason: "0 in flight, 0 long-lived"}
	tests := map[string]struct {
		handler http.HandlerFunc
		edit    func(*v1alpha1.HTTPDrainStatus)
		want    drainstatus.Reading
	}{
		"drained": {says(bodyDrained), nil, drained},
		"busy":    {says(bodyBusy), nil, drainstatus.Reading{State: drainstatus.Busy, InFlight: 3, Reason: "3 in flight, 0 long-lived"}},
		"the path with its query": {
			func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() == "/status?all=1" {
					_, _ = io.WriteString(w, bodyDrained)
				}
			},
			func(s *v1alpha1.HTTPDrainStatus) { s.Path = "/status?all=1" }, drained,
		},
		"by status code": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
			func(s *v1alpha1.HTTPDrainStatus) { s.DrainedWhen = v1alpha1.DrainedWhenStatusCode },
			drainstatus.Reading{State: drainstatus.Busy, InFlight: drainstatus.Untold, LongLived: drainstatus.Untold, Reason: "answered 503"},
		},
		"by a metric": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain; version=0.0.4")
				_, _ = io.WriteString(w, "sessions{kind=\"game\"} 2\nsessions{kind=\"lobby\"} 7\n")
			},
			func(s *v1alpha1.HTTPDrainStatus) {
				s.DrainedWhen, s.Metric = v1alpha1.DrainedWhenMetric, &v1alpha1.MetricSelector{Name: "sessions", MatchLabels: map[string]string{"kind": "game"}}
			},
			drainstatus.Reading{State: drainstatus.Busy, InFlight: 2, LongLived: drainstatus.Untold, Reason: "sessions is 2"},
		},
		"hung":                {hangs, hasty, unreadable("no answer: context deadline exceeded")},
		"a redirect":          {redirectsTo(t, &elsewhere), nil, unreadable("answered 302: redirects are not followed")},
		"huge":                {says(strings.Repeat(" ", 1<<20)), nil, unreadable("body is too large: over 65536 bytes")},
		"garbage":             {says("<html>"), nil, unreadable("drain status: not a JSON object")},
		"another version":     {says(`{"version":2,"inFlight":0}`), nil, unreadable("drain status: unsupported version of the drain status: 2, want 1")},
		"an error":            {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, bodyDrained, 500) }, nil, unreadable("answered 500, want 200")},
		"no such port":        {says(bodyDrained), func(s *v1alpha1.HTTPDrainStatus) { s.Port = intstr.FromString("no") }, unreadable(`the pod has no TCP port named "no"`)},
		"TLS where none is":   {says(bodyDrained), func(s *v1alpha1.HTTPDrainStatus) { s.Scheme = v1alpha1.SchemeHTTPS }, unreadable("no answer: http: server gave HTTP response to HTTPS client")},
		"a path without root": {says(bodyDrained), func(s *v1alpha1.HTTPDrainStatus) { s.Path = "@192.0.2.1/" }, unreadable("the path does not start with /")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var told []drainstatus.Reading
			p := New(Options{Loopback: true, Asked: func(policy types.NamespacedName, reading drainstatus.Reading, _ time.Duration) {
				if policy.String() != "default/web" {
					t.Errorf("told of %v", policy)
				}
				told = append(told, reading)
			}})
			got := p.Ask(t.Context(), serve(t, tc.handler), asking(tc.edit))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]drainstatus.Reading{got}, told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
	if elsewhere.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

func TestAskWithoutEndpoint(t *testing.T) {
	policy := asking(nil)
	policy.Spec.DrainStatus.HTTP = nil
	got := New(Options{Loopback: true}).Ask(t.Context(), serve(t, says(bodyDrained)), policy)
	if diff := cmp.Diff(unreadable("the policy names no drainStatus.http"), got); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

func TestAskDrips(t *testing.T) {
	pod := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(10 * ms)
		}
	})
	taken := New(Options{Loopback: true}).look(t.Context(), targetOf(pod, asking(hasty), true), false)
	if taken.reading.State != drainstatus.Unreadable || !taken.hung {
		t.Errorf("%+v, want it to be given up at the timeout", taken)
	}
}

func TestAskRefused(t *testing.T) {
	// An address of this process's own: nobody else answers there.
	listener, err := net.Listen("tcp", fmt.Sprintf("127.84.%d.%d:0", os.Getpid()>>8&0xff, os.Getpid()&0xff))
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	got := New(Options{Loopback: true}).Ask(t.Context(), podAt(t, address), asking(nil))
	want := unreadable(fmt.Sprintf("no answer: dial tcp %s: connect: connection refused", address))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

func TestAskUnverified(t *testing.T) {
	server := httptest.NewTLSServer(says(bodyDrained))
	defer server.Close()
	policy := asking(func(s *v1alpha1.HTTPDrainStatus) { s.Scheme = v1alpha1.SchemeHTTPS })
	got := New(Options{Loopback: true}).Ask(t.Context(), podAt(t, server.Listener.Addr().String()), policy)
	if got.State != drainstatus.Drained {
		t.Errorf("got %+v", got)
	}
}

// A proxy in the environment of the operator must not see what pods are asked.
func TestAskNoProxy(t *testing.T) {
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	p := New(Options{Loopback: true})
	if transport, ok := p.client.Transport.(*http.Transport); !ok || transport.Proxy != nil {
		t.Error("the client may use a proxy") // addresses of this host are never proxied
	}
	if got := p.Ask(t.Context(), serve(t, says(bodyDrained)), asking(nil)); got.State != drainstatus.Drained || proxied.Load() > 0 {
		t.Errorf("got %+v, %d by way of the proxy", got, proxied.Load())
	}
}

func TestAskOnlyThePod(t *testing.T) {
	pod := serve(t, says(bodyDrained))
	tests := map[string]struct {
		edit     func(*corev1.Pod)
		loopback bool
	}{
		"loopback":           {func(*corev1.Pod) {}, false},
		"the node's address": {func(p *corev1.Pod) { p.Status.HostIP = p.Status.PodIP }, true},
		"the node's network": {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, true},
		"no address yet":     {func(p *corev1.Pod) { p.Status.PodIP = "" }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			asked := pod.DeepCopy()
			tc.edit(asked)
			p := New(Options{Loopback: tc.loopback})
			if got := p.Ask(t.Context(), asked, asking(nil)); got.State != drainstatus.Unreadable || strings.HasPrefix(got.Reason, "no answer") {
				t.Errorf("asked, and got %+v", got)
			}
			if err := p.Tell(t.Context(), asked, asking(nil), true); err == nil {
				t.Error("told")
			}
		})
	}
}

// A connection that stays would be one that a drain has to see through.
func TestAskKeepsNoConnection(t *testing.T) {
	states := make(chan http.ConnState, 16)
	server := httptest.NewUnstartedServer(says(bodyDrained))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) { states <- state }
	server.Start()
	defer server.Close()
	New(Options{Loopback: true}).Ask(t.Context(), podAt(t, server.Listener.Addr().String()), asking(nil))
	for _, want := range []http.ConnState{http.StateNew, http.StateActive, http.StateClosed} {
		select {
		case got := <-states:
			if got != want {
				t.Fatalf("the connection is %v, want %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the connection is not %v yet", want)
		}
	}
}

func TestAskEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := New(Options{Loopback: true, Concurrency: 1, Asked: func(types.NamespacedName, drainstatus.Reading, time.Duration) {
		t.Error("a look that was not taken is told")
	}})
	p.prompt <- struct{}{} // no turn to be had
	if diff := cmp.Diff(unreadable("not asked: context canceled"), p.Ask(ctx, serve(t, says(bodyDrained)), asking(nil))); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

func TestAskBounded(t *testing.T) {
	const bound, pods = 4, 32
	var now atomic.Int64
	full := make(chan struct{})
	reached := sync.OnceFunc(func() { close(full) })
	pod := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n := now.Add(1); {
		case n == bound:
			reached()
		case n > bound:
			t.Errorf("%d at once, want at most %d", n, bound)
		}
		<-full // as many as may be
		time.Sleep(20 * ms)
		now.Add(-1)
		_, _ = io.WriteString(w, bodyDrained)
	})
	p := New(Options{Loopback: true, Concurrency: bound})
	var all sync.WaitGroup
	for range pods {
		all.Go(func() {
			if got := p.Ask(t.Context(), pod, asking(nil)); got.State != drainstatus.Drained {
				t.Errorf("got %+v", got)
			}
		})
	}
	all.Wait()
}
