package observe

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

// What is remembered of a policy does not grow: neither with time, traffic and
// pods that come and go, nor with layouts that change.
func TestPagesStayBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	p := newPages(&v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{}})
	for round := range 600 {
		var pods []*corev1.Pod
		for i := range 30 {
			pods = append(pods, named(1, fmt.Sprint("p", (round/3+i)%200))[0])
		}
		at := now.Add(time.Duration(round) * 30 * time.Second)
		chosen := p.sample.choose(pods, 10, at)
		p.forgetOthers(chosen)
		var seen []looked
		for _, pod := range chosen {
			counts := map[float64]float64{}
			for range 200 {
				counts[random.ExpFloat64()] = float64(random.IntN(1_000_000))
			}
			seen = append(seen, looked{pod: pod, counters: buckets(counts, 1)})
		}
		p.take(seen, at)
		if len(p.last) > 10 || len(p.sample.members) > 10 {
			t.Fatalf("round %d: counters of %d pods, a sample of %d", round, len(p.last), len(p.sample.members))
		}
	}
	for key, h := range p.last {
		if len(h.Buckets) > latency.MaxBuckets {
			t.Errorf("%s: %d buckets", key, len(h.Buckets))
		}
	}
	if h, _ := p.window.Histogram(now.Add(600 * 30 * time.Second)); len(h.Buckets) > latency.MaxBuckets {
		t.Errorf("%d buckets in the window", len(h.Buckets))
	}
}

// A certificate that nobody has signed is no obstacle, as it is none to the kubelet.
func TestPodMetricsHTTPS(t *testing.T) {
	f := newFleet(t, "a")
	server := httptest.NewTLSServer(text(histogramPage(1, 1, 1)))
	defer server.Close()
	address := netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "https://"))
	f.pods[0].Spec.Containers[0].Ports[0].ContainerPort = int32(address.Port())
	target := f.target(now)
	latencyOf(&target).PodMetrics.Scheme = v1alpha1.SchemeHTTPS
	if _, failure := observed(t, New(nil, loopback).For(nil), target); failure != nil {
		t.Errorf("%s: %s", failure.Reason, failure.Message)
	}
}

// BenchmarkRound looks at ten pods with a page of some 100 KiB each, over loopback.
func BenchmarkRound(b *testing.B) {
	page := text(strings.Repeat("other_metric{path=\"/a/b/c\",code=\"200\"} 12345\n", 2200) + histogramPage(1, 2, 3))
	server := httptest.NewServer(page)
	defer server.Close()
	address := netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://"))
	var f fleet
	for _, pod := range named(10, "p") {
		pod.Status.PodIP = address.Addr().String()
		pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: int32(address.Port())}}}}
		f.pods = append(f.pods, pod)
	}
	o := New(nil, loopback).For(nil)
	at := now
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(30 * time.Second)
		if _, err := o.Observe(b.Context(), f.target(at)); err != nil {
			b.Fatal(err)
		}
	}
}
