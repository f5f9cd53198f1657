package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

const (
	textType  = "text/plain; version=0.0.4; charset=utf-8"
	protoType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

const usualPage = `# HELP go_goroutines Number of goroutines.
# TYPE go_goroutines gauge
go_goroutines 12
# HELP http_seconds How long requests took.
# TYPE http_seconds histogram
http_seconds_bucket{path="/",code="200",le="0.1"} 90
http_seconds_bucket{path="/",code="200",le="1"} 100
http_seconds_bucket{path="/",code="200",le="+Inf"} 101
http_seconds_sum{path="/",code="200"} 20
http_seconds_count{path="/",code="200"} 101
http_seconds_bucket{path="/upload",code="200",le="0.1"} 0
http_seconds_bucket{path="/upload",code="200",le="1"} 0
http_seconds_bucket{path="/upload",code="200",le="+Inf"} 7
http_seconds_sum{path="/upload",code="200"} 700
http_seconds_count{path="/upload",code="200"} 7
http_seconds_bucket{path="/",code="500",le="0.1"} 1
http_seconds_bucket{path="/",code="500",le="1"} 2
http_seconds_bucket{path="/",code="500",le="+Inf"} 2
http_seconds_sum{path="/",code="500"} 0.5
http_seconds_count{path="/",code="500"} 2
# TYPE http_seconds_total counter
http_seconds_total 5
{"with.dots"} 7
{}
`

var usual = series{histogram: "http_seconds"}

func buckets(counts map[float64]float64, sum float64) latency.Histogram {
	var all []latency.Bucket
	for bound, count := range counts {
		all = append(all, latency.Bucket{UpperBound: bound, Count: count})
	}
	h, err := latency.FromCounts(all, sum)
	if err != nil {
		panic(err)
	}
	return h
}

func TestReadTextPage(t *testing.T) {
	tests := map[string]struct {
		series series
		page   string
		want   latency.Histogram
	}{
		"all series": {usual, usualPage, buckets(map[float64]float64{0.1: 91, 1: 11, inf: 8}, 720.5)},
		"those with a label": {
			series{histogram: "http_seconds", matchLabels: map[string]string{"code": "500", "absent": ""}}, usualPage,
			buckets(map[float64]float64{0.1: 1, 1: 1, inf: 0}, 0.5),
		},
		"all but a route": {
			series{histogram: "http_seconds", exclude: []v1alpha1.LabelValues{{Label: "path", Values: []string{"/report", "/upload"}}}}, usualPage,
			buckets(map[float64]float64{0.1: 91, 1: 11, inf: 1}, 20.5),
		},
		"no TYPE, and no bucket +Inf": {
			usual, "http_seconds_bucket{le=\"1\"} 3\nhttp_seconds_count 4\n", buckets(map[float64]float64{1: 3, inf: 1}, 0),
		},
		"bounds in any order": {
			usual, "http_seconds_bucket{le=\"+Inf\"} 4\nhttp_seconds_bucket{le=\"1\"} 3\n", buckets(map[float64]float64{1: 3, inf: 1}, 0),
		},
		"series of different layouts": {
			usual, "http_seconds_bucket{a=\"1\",le=\"1\"} 3\nhttp_seconds_bucket{a=\"1\",le=\"+Inf\"} 3\n" +
				"http_seconds_bucket{a=\"2\",le=\"2\"} 5\nhttp_seconds_bucket{a=\"2\",le=\"+Inf\"} 5\n",
			latency.Merge(buckets(map[float64]float64{1: 3, inf: 0}, 0), buckets(map[float64]float64{2: 5, inf: 0}, 0)),
		},
		"counts that are no whole numbers": {
			usual, "http_seconds_bucket{le=\"1\"} 2.5\nhttp_seconds_bucket{le=\"+Inf\"} 4\n", buckets(map[float64]float64{1: 2.5, inf: 1.5}, 0),
		},
		"a bound that is no number": {
			usual, "http_seconds_bucket{le=\"NaN\"} 3\nhttp_seconds_bucket{le=\"+Inf\"} 4\n", buckets(map[float64]float64{inf: 4}, 0),
		},
		"time stamps": {
			usual, "http_seconds_bucket{le=\"+Inf\"} 4 1777896000000\n", buckets(map[float64]float64{inf: 4}, 0),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.series.readPage(textType, strings.NewReader(tc.page))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateApprox(1e-9, 0), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("histogram (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadPageRefuses(t *testing.T) {
	bucket := func(le, value string) string {
		return fmt.Sprintf("http_seconds_bucket{le=%q} %s\n", le, value)
	}
	tests := map[string]struct{ kind, page, want string }{
		"nothing":                {textType, "", "no such histogram"},
		"another histogram":      {textType, strings.ReplaceAll(usualPage, "http_seconds", "http_second"), "no such histogram"},
		"a longer name":          {textType, strings.ReplaceAll(usualPage, "http_seconds", "http_seconds_bucket_x"), "no such histogram"},
		"a gauge of that name":   {textType, "# TYPE http_seconds gauge\nhttp_seconds 1\n", "no such histogram"},
		"a summary":              {textType, "# TYPE http_seconds summary\nhttp_seconds{quantile=\"0.9\"} 1\nhttp_seconds_sum 1\nhttp_seconds_count 1\n", "no buckets"},
		"negative":               {textType, bucket("+Inf", "-1"), "negative"},
		"NaN":                    {textType, bucket("+Inf", "NaN"), "not a finite"},
		"infinite":               {textType, bucket("+Inf", "+Inf"), ""},
		"not cumulative":         {textType, bucket("1", "9") + bucket("+Inf", "5"), "not cumulative"},
		"twice":                  {textType, bucket("1", "9") + bucket("1", "9") + bucket("+Inf", "9"), "not ascending"},
		"a negative bound":       {textType, bucket("-1", "9") + bucket("+Inf", "9"), "negative"},
		"a value that is none":   {textType, bucket("+Inf", "many"), ""},
		"cut short":              {textType, strings.TrimSuffix(bucket("+Inf", "12"), "2\n"), ""},
		"a brace":                {textType, "http_seconds_bucket{\n", ""},
		"HTML":                   {"text/html", usualPage, "content type"},
		"OpenMetrics":            {"application/openmetrics-text; version=1.0.0", usualPage, "content type"},
		"protobuf as text":       {"application/vnd.google.protobuf; encoding=text", usualPage, "content type"},
		"text, told as protobuf": {protoType, usualPage, ""},
		"a line without end":     {textType, strings.Repeat("x", maxLineBytes+1), "token too long"},
		"lines without end":      {textType, strings.Repeat("x 1\n", maxPageBytes/4+1), "over 4 MiB"},
		"series without end":     {textType, strings.Repeat("http_seconds_sum 1\n", maxHistogramLines+1), "lines"},
		"a length beyond":        {protoType, string(protowire.AppendVarint(nil, 1<<62)), "is told to have"},
		"a length without end":   {protoType, strings.Repeat("\xff", 20), "length"},
		"a length alone":         {protoType, string(protowire.AppendVarint(nil, 1<<20)), "breaks off"},
		"series of no histogram": {protoType, delimited(&dto.MetricFamily{Name: proto.String("http_seconds"), Metric: []*dto.Metric{{}}}), "not a histogram"},
		"a series too large": {
			protoType, delimited(family(&dto.Histogram{Bucket: make([]*dto.Bucket, maxSeriesBytes)})), "at most",
		},
		"spans that lie": {
			protoType, delimited(family(&dto.Histogram{Schema: proto.Int32(0), PositiveSpan: []*dto.BucketSpan{{Length: proto.Uint32(math.MaxUint32)}}})), "spans",
		},
		"a schema that is not known": {
			protoType, delimited(family(&dto.Histogram{Schema: proto.Int32(99), ZeroThreshold: proto.Float64(0.1)})), "schema",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := usual.readPage(tc.kind, strings.NewReader(tc.page))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tc.want)
			}
			if absent := errors.Is(err, errNoHistogram); absent != (tc.want == errNoHistogram.Error() || tc.want == "no such histogram") {
				t.Errorf("told to be absent: %v (%v)", absent, err)
			}
		})
	}
}

func family(h *dto.Histogram) *dto.MetricFamily {
	for i := range h.Bucket {
		h.Bucket[i] = &dto.Bucket{}
	}
	return &dto.MetricFamily{Name: proto.String("http_seconds"), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: h}}}
}

func delimited(families ...*dto.MetricFamily) string {
	var page bytes.Buffer
	for _, f := range families {
		message, err := proto.Marshal(f)
		if err != nil {
			panic(err)
		}
		page.Write(protowire.AppendBytes(nil, message))
	}
	return page.String()
}

// exported is what the official client library exports of a histogram, classic
// and native, with these observations.
func exported(t *testing.T, format expfmt.FormatType, factor float64, observations ...float64) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_seconds", Buckets: []float64{0.1, 1}, NativeHistogramBucketFactor: factor,
	}, []string{"path"})
	registry.MustRegister(h, prometheus.NewGauge(prometheus.GaugeOpts{Name: "another"}))
	for i, o := range observations {
		h.WithLabelValues(fmt.Sprint("/", i%2)).Observe(o)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	encoder := expfmt.NewEncoder(&page, expfmt.NewFormat(format))
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return page.String()
}

// The official client's own pages, in each format.
func TestReadExportedPages(t *testing.T) {
	observations := []float64{0.05, 0.05, 0.5, 3}
	classic := buckets(map[float64]float64{0.1: 2, 1: 1, inf: 1}, 3.6)
	tests := map[string]struct {
		kind   string
		format expfmt.FormatType
		factor float64
		want   latency.Histogram
	}{
		"text":                 {textType, expfmt.TypeTextPlain, 0, classic},
		"text, native as well": {textType, expfmt.TypeTextPlain, 2, classic},
		"protobuf":             {protoType, expfmt.TypeProtoDelim, 0, classic},
		"protobuf, native":     {protoType, expfmt.TypeProtoDelim, 2, buckets(map[float64]float64{0.0625: 2, 0.125: 0, 0.25: 0, 0.5: 1, 4: 1}, 3.6)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := usual.readPage(tc.kind, strings.NewReader(exported(t, tc.format, tc.factor, observations...)))
			if err != nil {
				t.Fatal(err)
			}
			// Merging two series of native histograms leaves slack.
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateApprox(1e-9, 0), cmpopts.IgnoreFields(latency.Histogram{}, "SlackSeconds")); diff != "" {
				t.Errorf("histogram (-want +got):\n%s", diff)
			}
		})
	}
}

// A page that tells lengths, and messages of empty parts, may not take many
// times its size.
func TestReadPageAllocates(t *testing.T) {
	many := &dto.MetricFamily{Name: proto.String("http_seconds")}
	for range maxHistogramLines {
		many.Metric = append(many.Metric, &dto.Metric{Histogram: &dto.Histogram{}})
	}
	tests := map[string]struct{ kind, page string }{
		"a length that is not there": {protoType, string(protowire.AppendVarint(nil, maxPageBytes))},
		"many empty series":          {protoType, delimited(many)},
		"a large page of other text": {textType, strings.Repeat("other_seconds_bucket{path=\"/a/b/c\",le=\"0.1\"} 12345\n", 70_000)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			page := strings.NewReader(tc.page)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = usual.readPage(tc.kind, page)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
				t.Errorf("%d MiB were allocated for a page of %d KiB", took>>20, len(tc.page)>>10)
			}
		})
	}
}

// Whatever a page holds, what is read of it are counts that can be.
func FuzzPage(f *testing.F) {
	text := []string{
		usualPage, "", "{}\n", "http_seconds_bucket{le=\"+Inf\"} 4\n", "http_seconds_bucket{le=\"1\"} 3\nhttp_seconds_count 4 # {trace=\"1\"} 2\n",
		"# TYPE http_seconds summary\nhttp_seconds_sum 1\n", "http_seconds_bucket{", "http_seconds_bucket{le=\"+Inf\",{}} 1\n",
		"http_seconds_bucket{\"quoted\"=\"x\",le=\"0x1p-2\"} 1e300\nhttp_seconds_bucket{le=\"+Inf\"} NaN\n", "http_seconds_sum{} -1\n# EOF\n",
	}
	for _, page := range text {
		f.Add(false, []byte(page))
	}
	negative := &dto.Histogram{Schema: proto.Int32(8), NegativeSpan: []*dto.BucketSpan{{Offset: proto.Int32(-5), Length: proto.Uint32(2)}}, NegativeDelta: []int64{3, -1}}
	float := &dto.Histogram{Schema: proto.Int32(-4), ZeroCountFloat: proto.Float64(1.5), ZeroThreshold: proto.Float64(1e-128), PositiveSpan: []*dto.BucketSpan{{Length: proto.Uint32(1)}, {Offset: proto.Int32(1 << 30), Length: proto.Uint32(1)}}, PositiveCount: []float64{2, 0.5}}
	for _, h := range []*dto.Histogram{negative, float, {Bucket: make([]*dto.Bucket, 3)}, {SampleCount: proto.Uint64(math.MaxUint64)}} {
		f.Add(true, []byte(delimited(family(h))))
	}
	f.Fuzz(func(t *testing.T, protobuf bool, page []byte) {
		kind := textType
		if protobuf {
			kind = protoType
		}
		h, err := usual.readPage(kind, bytes.NewReader(page))
		if err != nil {
			failf("", "%v", err)
			return
		}
		below := math.Inf(-1)
		for _, b := range h.Buckets {
			if !(b.Count >= 0) || math.IsInf(b.Count, 0) || !(b.UpperBound > below) {
				t.Fatalf("read %v", h)
			}
			below = b.UpperBound
		}
		if again := since(h, h); again.Count() != 0 {
			t.Fatalf("no time passed, and %v came", again)
		}
		if s := h.Summarize(0.99); s.Latency < 0 || s.Residual < 0 || s.Requests < 0 {
			t.Fatalf("summary %+v", s)
		}
	})
}

// BenchmarkReadPage reads a page of 1 MiB with a histogram of 50 routes.
func BenchmarkReadPage(b *testing.B) {
	var page strings.Builder
	for route := range 50 {
		for i, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"} {
			fmt.Fprintf(&page, "http_seconds_bucket{path=\"/%d\",le=%q} %d\n", route, le, i*10)
		}
		fmt.Fprintf(&page, "http_seconds_sum{path=\"/%d\"} 10\nhttp_seconds_count{path=\"/%d\"} 110\n", route, route)
	}
	page.WriteString(strings.Repeat("other_metric{path=\"/a/b/c\",code=\"200\"} 12345\n", (1<<20-page.Len())/45))
	b.SetBytes(int64(page.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := usual.readPage(textType, io.Reader(strings.NewReader(page.String()))); err != nil {
			b.Fatal(err)
		}
	}
}
