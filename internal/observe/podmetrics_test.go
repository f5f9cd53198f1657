package observe

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

func text(page string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textType)
		_, _ = io.WriteString(w, page)
	}
}

// histogramPage has a series with cumulative counts for the bounds 0.1, 1 and +Inf.
func histogramPage(counts ...int) string {
	return fmt.Sprintf("http_seconds_bucket{le=\"0.1\"} %d\nhttp_seconds_bucket{le=\"1\"} %d\nhttp_seconds_bucket{le=\"+Inf\"} %d\nhttp_seconds_sum 0\n", counts[0], counts[1], counts[2])
}

// fleet is pods that serve, each at a port of its own.
type fleet struct {
	t    *testing.T
	pods []*corev1.Pod
	show map[string]*atomic.Pointer[http.HandlerFunc]
	// asked counts the looks at each pod.
	asked map[string]*atomic.Int64
}

func newFleet(t *testing.T, names ...string) *fleet {
	f := &fleet{t: t, show: map[string]*atomic.Pointer[http.HandlerFunc]{}, asked: map[string]*atomic.Int64{}}
	for _, name := range names {
		f.add(name, name+"-uid")
	}
	return f
}

// add starts a pod with an address of its own, as a named port.
func (f *fleet) add(name, uid string) *corev1.Pod {
	f.t.Helper()
	page, asked := &atomic.Pointer[http.HandlerFunc]{}, &atomic.Int64{}
	f.show[name], f.asked[name] = page, asked
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		(*page.Load())(w, r)
	}))
	f.t.Cleanup(server.Close)
	address := netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://"))
	pod := build.MakePod(name).Obj()
	pod.UID = types.UID(uid)
	pod.Status.PodIP = address.Addr().String()
	pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: int32(address.Port())}}}}
	pod.Status.StartTime = &metav1.Time{Time: now.Add(-time.Hour)}
	f.pods = append(f.pods, pod)
	f.page(name, text(histogramPage(0, 0, 0)))
	return pod
}

func (f *fleet) page(name string, page http.HandlerFunc) { f.show[name].Store(&page) }

func (f *fleet) remove(name string) {
	var left []*corev1.Pod
	for _, p := range f.pods {
		if p.Name != name {
			left = append(left, p)
		}
	}
	f.pods = left
}

func (f *fleet) target(at time.Time) Target {
	policy := build.MakePolicy("checkout").Obj()
	policy.Spec.GracePeriod.Percentile = "90"
	policy.Spec.GracePeriod.WindowSeconds = 600
	policy.Spec.GracePeriod.Latency = &v1alpha1.Latency{
		Unit:       v1alpha1.UnitSeconds,
		PodMetrics: &v1alpha1.PodMetricsLatency{Port: intstr.FromString("metrics"), Path: "/metrics?all=1", Histogram: "http_seconds"},
	}
	return Target{Policy: policy, Pods: f.pods, Now: at}
}

var loopback = Limits{Loopback: true, PodTimeout: 10 * time.Second}

// requests is what a summary says that is not of the buckets' making.
type requests struct {
	Requests int64
	Latency  time.Duration
	Since    time.Duration // before At
}

func (f *fleet) round(o Observer, at time.Time) requests {
	f.t.Helper()
	got, failure := observed(f.t, o, f.target(at))
	if failure != nil {
		f.t.Fatalf("%s: %s", failure.Reason, failure.Message)
	}
	return requests{got.Requests, got.Latency, got.At.Sub(got.Since)}
}

func wantRequests(t *testing.T, what string, want, got requests) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// The first look gives nothing, the second what came between, a restart all
// that the new process has counted.
func TestPodMetricsRounds(t *testing.T) {
	f := newFleet(t, "a", "b")
	o := New(nil, loopback).For(nil)
	f.page("a", text(histogramPage(1000, 1000, 2000)))
	wantRequests(t, "first look", requests{}, f.round(o, now))
	f.page("a", text(histogramPage(1090, 1100, 2100)))
	f.page("b", text(histogramPage(5, 10, 10)))
	wantRequests(t, "what came since", requests{110, time.Second, 30 * time.Second}, f.round(o, now.Add(30*time.Second)))
	f.page("a", text(histogramPage(30, 40, 40)))
	wantRequests(t, "a restart", requests{150, time.Second, time.Minute}, f.round(o, now.Add(time.Minute)))
	wantRequests(t, "nothing came", requests{150, time.Second, 2 * time.Minute}, f.round(o, now.Add(2*time.Minute)))
	wantRequests(t, "long after", requests{0, 0, 0}, f.round(o, now.Add(time.Hour)))
}

// The whole summary of a window, as the histogram in it says.
func TestPodMetricsSummary(t *testing.T) {
	for name, tc := range map[string]struct {
		unit v1alpha1.LatencyUnit
		page string
	}{
		"seconds":      {v1alpha1.UnitSeconds, histogramPage(950, 1000, 1000)},
		"milliseconds": {v1alpha1.UnitMilliseconds, strings.NewReplacer(`"0.1"`, `"100"`, `"1"`, `"1000"`).Replace(histogramPage(950, 1000, 1000))},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "a")
			o := New(nil, loopback).For(nil)
			f.page("a", text(strings.NewReplacer(" 950", " 0", " 1000", " 0").Replace(tc.page)))
			look := func(at time.Time) latency.Summary {
				target := f.target(at)
				target.Policy.Spec.GracePeriod.Latency.Unit = tc.unit
				got, failure := observed(t, o, target)
				if failure != nil {
					t.Fatal(failure)
				}
				return got
			}
			look(now)
			f.page("a", text(tc.page))
			h := buckets(map[float64]float64{0.1: 950, 1: 50, inf: 0}, 0)
			want := h.Summarize(0.9)
			want.InFlight = h.InFlight(30*time.Second, 1)
			want.Residual, want.ResidualTooCoarse = h.ResidualOfAll(0.9, want.InFlight)
			want.Since, want.At = now, now.Add(30*time.Second)
			want.Workloads = []string{"Pod/a"}
			if diff := cmp.Diff(want, look(now.Add(30*time.Second))); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodMetricsPodsComeAndGo(t *testing.T) {
	f := newFleet(t, "a", "b")
	o := New(nil, loopback).For(nil)
	f.round(o, now)
	f.page("b", text(histogramPage(10, 10, 10)))
	wantRequests(t, "b counts", requests{10, 100 * time.Millisecond, 30 * time.Second}, f.round(o, now.Add(30*time.Second)))

	f.remove("b")
	old := f.add("old", "old-uid")
	f.page("old", text(histogramPage(500, 500, 500)))
	young := f.add("young", "young-uid")
	young.Status.StartTime = &metav1.Time{Time: now.Add(45 * time.Second)}
	f.page("young", text(histogramPage(7, 7, 7)))
	wantRequests(t, "only the one that started since the last round counts at once",
		requests{17, 100 * time.Millisecond, time.Minute}, f.round(o, now.Add(time.Minute)))

	f.remove("old")
	f.page("young", text(histogramPage(9, 9, 9)))
	f.round(o, now.Add(90*time.Second))
	f.pods = append(f.pods, old)
	f.page("old", text(histogramPage(800, 800, 800)))
	wantRequests(t, "one that was away is seen anew", requests{19, 100 * time.Millisecond, 2 * time.Minute}, f.round(o, now.Add(2*time.Minute)))
}

// Many clients show a histogram with the first request; and one that is gone
// from a page for a while has not been counted anew.
func TestPodMetricsAbsent(t *testing.T) {
	f := newFleet(t, "a")
	o := New(nil, loopback).For(nil)
	f.page("a", text("up 1\n"))
	_, failure := observed(t, o, f.target(now))
	wantFailure(t, failure, v1alpha1.ReasonNoData, "no such histogram")
	f.page("a", text(histogramPage(10, 10, 10)))
	wantRequests(t, "the first requests", requests{10, 100 * time.Millisecond, 30 * time.Second}, f.round(o, now.Add(30*time.Second)))
	f.page("a", text("up 1\n"))
	wantRequests(t, "gone", requests{10, 100 * time.Millisecond, time.Minute}, f.round(o, now.Add(time.Minute)))
	f.page("a", text(histogramPage(12, 12, 12)))
	wantRequests(t, "there again", requests{12, 100 * time.Millisecond, 90 * time.Second}, f.round(o, now.Add(90*time.Second)))
}

func TestPodMetricsEdit(t *testing.T) {
	f := newFleet(t, "a")
	factory := New(nil, loopback)
	edits := map[string]struct {
		edit func(*v1alpha1.GracePeriod)
		kept bool
	}{
		"the labels": {func(g *v1alpha1.GracePeriod) { g.Latency.PodMetrics.MatchLabels = map[string]string{"absent": ""} }, false},
		"the unit":   {func(g *v1alpha1.GracePeriod) { g.Latency.Unit = v1alpha1.UnitMilliseconds }, false},
		"what is left": {func(g *v1alpha1.GracePeriod) {
			g.Latency.PodMetrics.Exclude = []v1alpha1.LabelValues{{Label: "a", Values: []string{"b"}}}
		}, false},
		"the window": {func(g *v1alpha1.GracePeriod) { g.WindowSeconds = 3600 }, true},
		"nothing":    {func(*v1alpha1.GracePeriod) {}, true},
	}
	for name, tc := range edits {
		t.Run(name, func(t *testing.T) {
			o := factory.For(nil)
			f.page("a", text(histogramPage(0, 0, 0)))
			f.round(o, now)
			f.page("a", text(histogramPage(10, 10, 10)))
			f.round(o, now.Add(30*time.Second))
			target := f.target(now.Add(time.Minute))
			tc.edit(&target.Policy.Spec.GracePeriod)
			got, failure := observed(t, o, target)
			if failure != nil {
				t.Fatal(failure)
			}
			if kept := got.Requests == 10; kept != tc.kept {
				t.Errorf("requests kept: %v, want %v", kept, tc.kept)
			}
		})
	}
}

// A policy that is edited from one source to the other, and back, is followed,
// and what came before is forgotten.
func TestFollowsTheSource(t *testing.T) {
	f := newFleet(t, "a")
	o := New(served(t, answers(vector("=1.5"))), loopback).For(nil)
	f.round(o, now)
	f.page("a", text(histogramPage(10, 10, 10)))
	f.round(o, now.Add(30*time.Second))
	got, failure := observed(t, o, asking("x", ""))
	if failure != nil || got.Latency != 1500*time.Millisecond {
		t.Errorf("got %+v, %v", got, failure)
	}
	wantRequests(t, "back again", requests{}, f.round(o, now.Add(time.Minute)))
}

func TestPodMetricsFailures(t *testing.T) {
	gzipped := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textType)
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		zeros := []byte(strings.Repeat("x 1\n", 16<<10))
		for range 2048 { // 128 MiB, unpacked
			if _, err := z.Write(zeros); err != nil {
				return
			}
		}
		_ = z.Close()
	}
	tests := map[string]struct {
		page            http.HandlerFunc
		edit            func(*Target)
		reason, message string
	}{
		"500": {page: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, reason: v1alpha1.ReasonNoPodAnswered, message: "answered 500"},
		"a redirect": {page: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, reason: v1alpha1.ReasonNoPodAnswered, message: "redirects are not followed"},
		"hung up": {page: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, reason: v1alpha1.ReasonNoPodAnswered},
		"broken off": {page: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = w.Write([]byte(histogramPage(1, 1, 1)[:50]))
		}, reason: v1alpha1.ReasonNoPodAnswered, message: "broke off"},
		"no gzip": {page: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("plain text, and no gzip"))
		}, reason: v1alpha1.ReasonNoPodAnswered, message: "gzip"},
		"a bomb":           {page: gzipped, reason: v1alpha1.ReasonAnswerUnusable, message: "over 4 MiB"},
		"headers":          {page: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 128<<10)) }, reason: v1alpha1.ReasonNoPodAnswered},
		"hostile":          {page: text("http_seconds_bucket{le=\"\x1b[31m\n"), reason: v1alpha1.ReasonAnswerUnusable},
		"HTML":             {page: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, reason: v1alpha1.ReasonAnswerUnusable, message: "text/html"},
		"no such port":     {edit: func(tg *Target) { latencyOf(tg).PodMetrics.Port = intstr.FromString("web") }, reason: v1alpha1.ReasonNoPodAnswered, message: `no TCP port named "web"`},
		"HTTPS":            {edit: func(tg *Target) { latencyOf(tg).PodMetrics.Scheme = v1alpha1.SchemeHTTPS }, reason: v1alpha1.ReasonNoPodAnswered},
		"a path for hosts": {edit: func(tg *Target) { latencyOf(tg).PodMetrics.Path = "@192.0.2.1/" }, reason: v1alpha1.ReasonNoPodAnswered, message: "path"},
		"no pods":          {edit: func(tg *Target) { tg.Pods = nil }, reason: v1alpha1.ReasonNoData, message: "no pod runs"},
		"the node's network": {edit: func(tg *Target) {
			tg.Pods = []*corev1.Pod{tg.Pods[0].DeepCopy()}
			tg.Pods[0].Spec.HostNetwork = true
		}, reason: v1alpha1.ReasonNoPodAnswered, message: "network of its node"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "a")
			if tc.page != nil {
				f.page("a", tc.page)
			}
			target := f.target(now)
			if tc.edit != nil {
				tc.edit(&target)
			}
			_, failure := observed(t, New(nil, loopback).For(nil), target)
			wantFailure(t, failure, tc.reason, tc.message)
		})
	}
}

// Pages that come drop by drop are given up; they hold up nobody else for
// longer, and the others' answers count.
func TestPodMetricsSlowDrip(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "slow", "good")
	f.page("slow", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "x 1\n")
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	limits := loopback
	limits.PodTimeout = 3 * time.Second // in which the good one answers
	o := New(nil, limits).For(nil)
	f.round(o, now)
	f.page("good", text(histogramPage(3, 3, 3)))
	wantRequests(t, "the other one", requests{3, 100 * time.Millisecond, 30 * time.Second}, f.round(o, now.Add(30*time.Second)))
	f.remove("good")
	_, failure := observed(t, o, f.target(now.Add(time.Minute)))
	wantFailure(t, failure, v1alpha1.ReasonNoPodAnswered, "")
}

// The process reads no more pages at a time than it may.
func TestPodMetricsSlots(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	f := newFleet(t, names...)
	var busy, most atomic.Int64
	for _, name := range names {
		f.page(name, func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), busy.Add(1)))
			text(histogramPage(1, 1, 1))(w, r)
			busy.Add(-1)
		})
	}
	limits := loopback
	limits.Scrapes = 1
	f.round(New(nil, limits).For(nil), now)
	if most.Load() != 1 {
		t.Errorf("%d pages at a time", most.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := New(nil, limits).For(nil).Observe(ctx, f.target(now))
	if err == nil {
		t.Error("no failure after the context's end")
	}
}

// A round whose turn does not come is over in bounded time.
func TestPodMetricsNoSlot(t *testing.T) {
	f := newFleet(t, "a")
	limits := loopback
	limits.Scrapes, limits.PodTimeout = 1, 20*time.Millisecond
	factory := New(nil, limits)
	factory.scraper.slots <- struct{}{}
	_, failure := observed(t, factory.For(nil), f.target(now))
	wantFailure(t, failure, v1alpha1.ReasonNoPodAnswered, "in time")
}

// A round asks ten pods, whatever the workload has.
func TestPodMetricsSample(t *testing.T) {
	f := newFleet(t)
	for i := range 25 {
		f.add(fmt.Sprint("p", i), fmt.Sprint("uid", i))
	}
	o := New(nil, loopback).For(nil)
	f.round(o, now)
	f.round(o, now.Add(30*time.Second))
	var asked []int64
	for _, n := range f.asked {
		if n.Load() > 0 {
			asked = append(asked, n.Load())
		}
	}
	if diff := cmp.Diff([]int64{2, 2, 2, 2, 2, 2, 2, 2, 2, 2}, asked); diff != "" {
		t.Errorf("looks by pod (-want +got):\n%s", diff)
	}
}
