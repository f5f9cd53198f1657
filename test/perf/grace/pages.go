package grace

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"k8s.io/utils/ptr"
)

const (
	// histogram is the name of what is asked for.
	histogram = "http_request_duration_seconds"
	// routes of a workload, each a series of its own.
	routes = 20
	// perRoute is how many requests a second come to each route of a pod.
	perRoute = 1
	// renewed is how old a page may be: all pods of a kind show the same one.
	renewed = 100 * time.Millisecond
	// nativeSchema has 8 buckets per doubling, as the Go client has by default.
	nativeSchema = 3
)

// kinds of pages, and out of ten policies how many have pods with such a one.
var kinds = []struct {
	path   string
	share  int
	format expfmt.FormatType
	series func(requests float64) *dto.Histogram
}{
	{"/text", 6, expfmt.TypeTextPlain, classic},
	{"/protobuf", 2, expfmt.TypeProtoDelim, classic},
	{"/native", 2, expfmt.TypeProtoDelim, native},
}

// pages serves the metrics pages of all pods.
type pages struct {
	// traffic multiplies how many requests come; served counts pages.
	traffic, served atomic.Int64

	mu       sync.Mutex
	requests float64 // per route, up to counted
	counted  time.Time
	rendered map[string]page
}

type page struct {
	at            time.Time
	kind          expfmt.Format
	plain, zipped []byte
}

func newPages() *pages {
	p := &pages{counted: time.Now(), rendered: map[string]page{}}
	p.traffic.Store(1)
	return p
}

// setTraffic changes how many requests come from now on.
func (p *pages) setTraffic(times int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(time.Now())
	p.traffic.Store(times)
}

// count adds the requests that came since it was last called.
func (p *pages) count(now time.Time) {
	p.requests += now.Sub(p.counted).Seconds() * perRoute * float64(p.traffic.Load())
	p.counted = now
}

// ServeHTTP implements http.Handler. Pages are packed for whoever takes that,
// as those of the client libraries are.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown, err := p.page(r.URL.Path, time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	p.served.Add(1)
	w.Header().Set("Content-Type", string(shown.kind))
	body := shown.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		body = shown.zipped
	}
	_, _ = w.Write(body) // the operator says what did not arrive
}

func (p *pages) page(path string, now time.Time) (page, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if shown := p.rendered[path]; now.Sub(shown.at) < renewed {
		return shown, nil
	}
	p.count(now)
	for _, k := range kinds {
		if k.path != path {
			continue
		}
		shown, err := render(k.format, k.series, p.requests)
		shown.at = now
		p.rendered[path] = shown
		return shown, err
	}
	return page{}, fmt.Errorf("no page %s", path)
}

func render(format expfmt.FormatType, series func(float64) *dto.Histogram, requests float64) (page, error) {
	shown := page{kind: expfmt.NewFormat(format)}
	var plain, zipped bytes.Buffer
	encoder := expfmt.NewEncoder(&plain, shown.kind)
	for _, family := range append(others(requests), latencies(series, requests)) {
		if err := encoder.Encode(family); err != nil {
			return page{}, err
		}
	}
	packer := gzip.NewWriter(&zipped)
	if _, err := packer.Write(plain.Bytes()); err != nil {
		return page{}, err
	}
	if err := packer.Close(); err != nil {
		return page{}, err
	}
	shown.plain, shown.zipped = plain.Bytes(), zipped.Bytes()
	return shown, nil
}

// latencies are the histogram, a series per route.
func latencies(series func(float64) *dto.Histogram, requests float64) *dto.MetricFamily {
	family := &dto.MetricFamily{Name: ptr.To(histogram), Help: ptr.To("Time to answer a request."), Type: dto.MetricType_HISTOGRAM.Enum()}
	for route := range routes {
		family.Metric = append(family.Metric, &dto.Metric{
			Label: pairs("code", "200", "handler", fmt.Sprintf("/api/v1/orders/route-%d", route), "method", "GET"), Histogram: series(requests),
		})
	}
	return family
}

// others are what else is on the page of a common workload, some 25 KiB of text.
func others(requests float64) []*dto.MetricFamily {
	var all []*dto.MetricFamily
	for number := range 20 {
		family := &dto.MetricFamily{
			Name: ptr.To(fmt.Sprintf("workload_subsystem_events_%d_total", number)), Type: dto.MetricType_COUNTER.Enum(),
			Help: ptr.To("Number of events in a subsystem of the workload, by what became of them."),
		}
		for result := range 15 {
			family.Metric = append(family.Metric, &dto.Metric{
				Label:   pairs("component", "storage", "result", fmt.Sprintf("result-%d", result)),
				Counter: &dto.Counter{Value: ptr.To(requests * float64(number+result))},
			})
		}
		all = append(all, family)
	}
	return all
}

func pairs(namesAndValues ...string) []*dto.LabelPair {
	var all []*dto.LabelPair
	for i := 0; i < len(namesAndValues); i += 2 {
		all = append(all, &dto.LabelPair{Name: &namesAndValues[i], Value: &namesAndValues[i+1]})
	}
	return all
}

// faster is the share of requests that take at most so many seconds: lognormal,
// with a median of 50 ms and a P99 of 0.5 s.
func faster(seconds float64) float64 {
	return 0.5 * math.Erfc(-(math.Log(seconds)-math.Log(0.05))/math.Sqrt2)
}

// classic is a histogram with the clients' default buckets.
func classic(requests float64) *dto.Histogram {
	count := uint64(requests)
	h := &dto.Histogram{SampleCount: &count, SampleSum: ptr.To(requests * 0.0824)}
	for _, bound := range prometheus.DefBuckets {
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: ptr.To(bound), CumulativeCount: ptr.To(uint64(requests * faster(bound)))})
	}
	return h
}

// native is a native histogram of the same requests, from 1 ms to 4 s.
func native(requests float64) *dto.Histogram {
	count := uint64(requests)
	h := &dto.Histogram{SampleCount: &count, SampleSum: ptr.To(requests * 0.0824), Schema: ptr.To[int32](nativeSchema), ZeroThreshold: ptr.To(1e-128)}
	const perDoubling = 1 << nativeSchema
	first, last := -10*perDoubling, 2*perDoubling
	h.PositiveSpan = []*dto.BucketSpan{{Offset: ptr.To(int32(first)), Length: ptr.To(uint32(last - first + 1))}}
	below, before := uint64(0), int64(0)
	for index := first; index <= last; index++ {
		upTo := uint64(requests * faster(math.Exp2(float64(index)/perDoubling)))
		alone := int64(upTo - below) //nolint:gosec // far from it
		h.PositiveDelta = append(h.PositiveDelta, alone-before)
		below, before = upTo, alone
	}
	return h
}
