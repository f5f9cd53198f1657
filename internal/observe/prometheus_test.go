package observe

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

var (
	now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	inf = math.Inf(1)
	nan = math.NaN()
)

const usualQuery = `sum by (le) (increase(http_request_duration_seconds_bucket{pod=~"{{ pods }}"}[{{ window }}]))`

// asking is a target whose policy asks a Prometheus.
func asking(query, countQuery string) Target {
	policy := build.MakePolicy("checkout").Namespace("shop").Obj()
	policy.Spec.GracePeriod.Percentile = "90"
	policy.Spec.GracePeriod.WindowSeconds = 600
	policy.Spec.GracePeriod.Latency = &v1alpha1.Latency{
		Unit:       v1alpha1.UnitSeconds,
		Prometheus: &v1alpha1.PrometheusLatency{Source: "default", Query: query, CountQuery: countQuery},
	}
	return Target{Policy: policy, Pods: []*corev1.Pod{owned("StatefulSet", "db", "db-0", "")}, Now: now}
}

// served serves one handler, and returns the sources that name it.
func served(t *testing.T, handler http.HandlerFunc) Sources {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return sourcesAt(t, server.URL)
}

func sourcesAt(t *testing.T, address string) Sources {
	t.Helper()
	sources, err := ParseSources(fmt.Appendf(nil, "sources: [{name: default, address: %q, timeoutSeconds: 30}]", address))
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func answers(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

func result(kind, result string) string {
	return fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, result)
}

// vector is a result of series, each "labels=value".
func vector(series ...string) string {
	var all []string
	for _, s := range series {
		labels, value, _ := strings.Cut(s, "=")
		var pairs []string
		for pair := range strings.SplitSeq(labels, ",") {
			if name, value, found := strings.Cut(pair, ":"); found {
				pairs = append(pairs, fmt.Sprintf("%q:%q", name, value))
			}
		}
		all = append(all, fmt.Sprintf(`{"metric":{%s},"value":[1777896000,%q]}`, strings.Join(pairs, ","), value))
	}
	return result("vector", "["+strings.Join(all, ",")+"]")
}

// observed asks once, and splits the error into what a test compares.
func observed(t *testing.T, o Observer, target Target) (latency.Summary, *Failure) {
	t.Helper()
	summary, err := o.Observe(t.Context(), target)
	if err == nil {
		return summary, nil
	}
	var failure *Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got an error that is no Failure: %v", err)
	}
	if len(failure.Message) > maxMessageBytes || failure.Message == "" {
		t.Errorf("a message of %d bytes", len(failure.Message))
	}
	return summary, failure
}

func summaryOf(requests int64, latencySeconds float64) latency.Summary {
	return latency.Summary{Requests: requests, Latency: seconds(latencySeconds), Since: now.Add(-10 * time.Minute), At: now}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func TestPrometheusAnswers(t *testing.T) {
	milliseconds := func(p *v1alpha1.DrainPolicy) { p.Spec.GracePeriod.Latency.Unit = v1alpha1.UnitMilliseconds }
	// withRest adds what the requests in flight on the one pod still need.
	withRest := func(want latency.Summary, h latency.Histogram) latency.Summary {
		inFlight := h.InFlight(10*time.Minute, 1)
		want.Residual, want.ResidualTooCoarse = h.ResidualOfAll(0.9, inFlight)
		if !math.IsInf(inFlight, 1) {
			want.InFlight = inFlight
		}
		return want
	}
	unsummed := func(h ...latency.Bucket) latency.Histogram { return latency.Histogram{Buckets: h, SumSeconds: nan} }
	tests := map[string]struct {
		answer string
		edit   func(*v1alpha1.DrainPolicy)
		want   latency.Summary
	}{
		"one series per le": {
			answer: vector("le:0.5=899.5", "le:1=950", "le:+Inf=1000"),
			want: withRest(summaryOf(1000, 1), unsummed(
				latency.Bucket{UpperBound: 0.5, Count: 899.5}, latency.Bucket{UpperBound: 1, Count: 50.5}, latency.Bucket{UpperBound: inf, Count: 50})),
		},
		"bounds written in two ways": {
			answer: vector("le:1=500", "le:1.0=400", "le:2=1000", "le:+Inf=1000"),
			want: withRest(summaryOf(1000, 1), unsummed(
				latency.Bucket{UpperBound: 1, Count: 900}, latency.Bucket{UpperBound: 2, Count: 100}, latency.Bucket{UpperBound: inf})),
		},
		"in milliseconds": {
			answer: vector("le:500=950", "le:1000=1000", "le:+Inf=1000"),
			edit:   milliseconds,
			want: withRest(summaryOf(1000, 0.5), unsummed(
				latency.Bucket{UpperBound: 0.5, Count: 950}, latency.Bucket{UpperBound: 1, Count: 50}, latency.Bucket{UpperBound: inf})),
		},
		"counts that extrapolation has put a little wrong": {
			answer: vector("le:1=901", "le:2=899", "le:+Inf=1000"),
			want: func() latency.Summary {
				want := summaryOf(1000, 2)
				want.TooCoarse = true
				return withRest(want, unsummed(
					latency.Bucket{UpperBound: 1, Count: 899}, latency.Bucket{UpperBound: 2}, latency.Bucket{UpperBound: inf, Count: 101}))
			}(),
		},
		"a native histogram": {
			answer: result("vector", `[{"metric":{},"histogram":[1777896000,{"count":"1000","sum":"700","buckets":[[0,"0.5","1","950"],[0,"2","4","50"]]}]}]`),
			want: func() latency.Summary {
				h, _ := latency.FromCounts([]latency.Bucket{{UpperBound: 0.5}, {UpperBound: 1, Count: 950}, {UpperBound: 2}, {UpperBound: 4, Count: 50}}, 700)
				return withRest(summaryOf(1000, 1), h)
			}(),
		},
		"one series": {
			answer: vector("=1.5"),
			want:   latency.Summary{RequestsUnknown: true, Latency: 1500 * time.Millisecond, Since: now.Add(-10 * time.Minute), At: now},
		},
		"a scalar in milliseconds": {
			answer: result("scalar", `[1777896000,"1500"]`),
			edit:   milliseconds,
			want:   latency.Summary{RequestsUnknown: true, Latency: 1500 * time.Millisecond, Since: now.Add(-10 * time.Minute), At: now},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			target := asking(usualQuery, "")
			if tc.edit != nil {
				tc.edit(target.Policy)
			}
			got, failure := observed(t, New(served(t, answers(tc.answer)), Limits{}).For(target.Policy), target)
			if failure != nil {
				t.Fatalf("%s: %s", failure.Reason, failure.Message)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrometheusUnusable(t *testing.T) {
	tests := map[string]struct {
		answer, reason, message string
	}{
		"empty":                  {vector(), v1alpha1.ReasonNoData, "returns nothing"},
		"NaN":                    {vector("=NaN"), v1alpha1.ReasonNoData, "NaN"},
		"infinite":               {vector("=+Inf"), v1alpha1.ReasonAnswerUnusable, "+Inf"},
		"negative":               {vector("=-1"), v1alpha1.ReasonAnswerUnusable, "-1"},
		"beyond belief":          {vector("=90000"), v1alpha1.ReasonAnswerUnusable, "unit"},
		"several series":         {vector("a:1=1", "a:2=1"), v1alpha1.ReasonAnswerUnusable, "2 series"},
		"le and others":          {vector("le:1=1", "a:2=1"), v1alpha1.ReasonAnswerUnusable, "without it"},
		"several histograms":     {vector("le:1,a:1=1", "le:+Inf,a:2=1"), v1alpha1.ReasonAnswerUnusable, "sum by (le)"},
		"no +Inf":                {vector("le:1=1", "le:2=2"), v1alpha1.ReasonAnswerUnusable, "+Inf"},
		"le that is no number":   {vector("le:one=1", "le:+Inf=2"), v1alpha1.ReasonAnswerUnusable, `le="one"`},
		"le that is NaN":         {vector("le:NaN=1", "le:+Inf=2"), v1alpha1.ReasonAnswerUnusable, "cannot be used"},
		"a bucket of NaN":        {vector("le:1=NaN", "le:+Inf=2"), v1alpha1.ReasonAnswerUnusable, "cannot be used"},
		"a bucket below none":    {vector("le:1=-1", "le:+Inf=2"), v1alpha1.ReasonAnswerUnusable, "cannot be used"},
		"not cumulative":         {vector("le:1=10", "le:2=5", "le:+Inf=12"), v1alpha1.ReasonAnswerUnusable, "not cumulative"},
		"many buckets":           {vector(manySeries()...), v1alpha1.ReasonAnswerUnusable, "at most"},
		"a matrix":               {result("matrix", `[{"metric":{},"values":[[1777896000,"1"]]}]`), v1alpha1.ReasonAnswerUnusable, "matrix"},
		"a string":               {result("string", `[1777896000,"1"]`), v1alpha1.ReasonAnswerUnusable, "string"},
		"native and negative":    {nativeOfCounts("5", "-5"), v1alpha1.ReasonAnswerUnusable, "cannot be used"},
		"native of NaN":          {nativeOfCounts("NaN", "NaN"), v1alpha1.ReasonAnswerUnusable, "cannot be used"},
		"native and contrary":    {nativeOfCounts("500", "5"), v1alpha1.ReasonAnswerUnusable, "500 requests"},
		"native without a value": {result("vector", `[{"metric":{},"histogram":[1777896000,null]}]`), v1alpha1.ReasonAnswerUnusable, "cannot be read"},
		"a series that is null":  {result("vector", `[null]`), v1alpha1.ReasonAnswerUnusable, "without a value"},
		"a warning":              {`{"status":"success","warnings":["a store is gone"],"data":{"resultType":"scalar","result":[1,"1"]}}`, v1alpha1.ReasonAnswerUnusable, "a store is gone"},
		"no data":                {`{"status":"success"}`, v1alpha1.ReasonAnswerUnusable, "cannot be read"},
		"no JSON":                {`<html>`, v1alpha1.ReasonAnswerUnusable, ""},
		"JSON that breaks off":   {`{"status":"succ`, v1alpha1.ReasonAnswerUnusable, ""},
		"deep JSON":              {strings.Repeat("[", 200_000), v1alpha1.ReasonAnswerUnusable, ""},
		"an error with 200":      {`{"status":"error","errorType":"execution","error":"too many samples"}`, v1alpha1.ReasonQueryInvalid, "too many samples"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			target := asking(usualQuery, "")
			_, failure := observed(t, New(served(t, answers(tc.answer)), Limits{}).For(target.Policy), target)
			wantFailure(t, failure, tc.reason, tc.message)
		})
	}
}

func wantFailure(t *testing.T, got *Failure, reason, part string) {
	t.Helper()
	if got == nil {
		t.Fatalf("got a summary, want the failure %s", reason)
	}
	if got.Reason != reason || !strings.Contains(got.Message, part) {
		t.Errorf("got %s: %q, want %s with %q", got.Reason, got.Message, reason, part)
	}
}

func manySeries() (series []string) {
	for i := range maxBounds + 1 {
		series = append(series, fmt.Sprintf("le:%d=%d", i, i))
	}
	return series
}

func nativeOfCounts(total, bucket string) string {
	return result("vector", fmt.Sprintf(`[{"metric":{},"histogram":[1777896000,{"count":%q,"sum":"1","buckets":[[0,"0.5","1",%q]]}]}]`, total, bucket))
}

func TestPrometheusErrors(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	tests := map[string]struct {
		handler         http.HandlerFunc
		reason, message string
	}{
		"invalid PromQL": {status(400, `{"status":"error","errorType":"bad_data","error":"parse error: no"}`), v1alpha1.ReasonQueryInvalid, "parse error: no"},
		"too expensive":  {status(422, `{"status":"error","errorType":"execution","error":"too many samples"}`), v1alpha1.ReasonQueryInvalid, "too many samples"},
		"500":            {status(500, "oh"), v1alpha1.ReasonSourceUnavailable, "500"},
		"503":            {status(503, `{"status":"error","errorType":"timeout","error":"x"}`), v1alpha1.ReasonSourceUnavailable, "503"},
		"401":            {status(401, "no"), v1alpha1.ReasonSourceUnavailable, "401"},
		"404":            {status(404, "no"), v1alpha1.ReasonSourceUnavailable, "404"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, v1alpha1.ReasonSourceUnavailable, "redirects are not followed"},
		"a body cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}, v1alpha1.ReasonSourceUnavailable, ""},
		"hung up":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, v1alpha1.ReasonSourceUnavailable, ""},
		"not printable": {status(400, `{"status":"error","errorType":"bad_data","error":"`+strings.Repeat(`\u001b[31mä\n`, 1000)+`"}`), v1alpha1.ReasonQueryInvalid, "[31mä"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			target := asking(usualQuery, "")
			_, failure := observed(t, New(served(t, tc.handler), Limits{}).For(target.Policy), target)
			wantFailure(t, failure, tc.reason, tc.message)
			if strings.ContainsAny(failure.Message, "\x1b\n") {
				t.Errorf("the message is not printable: %q", failure.Message)
			}
		})
	}
}

// ownListener listens on a loopback address of this process's own: once it is
// closed, nobody else answers there.
func ownListener(t *testing.T) net.Listener {
	t.Helper()
	address := fmt.Sprintf("127.83.%d.%d:0", os.Getpid()>>8&0xff, os.Getpid()&0xff)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func TestPrometheusStopped(t *testing.T) {
	listener := ownListener(t)
	sources := sourcesAt(t, "http://"+listener.Addr().String()+"/a-token-in-the-path")
	listener.Close()
	target := asking(usualQuery, "")
	_, failure := observed(t, New(sources, Limits{}).For(target.Policy), target)
	wantFailure(t, failure, v1alpha1.ReasonSourceUnavailable, "refused")
	if strings.Contains(failure.Message, "a-token") {
		t.Errorf("the message has the path of the address: %s", failure.Message)
	}
}

// A source that took no connection is left alone for a while, by all policies.
func TestPrometheusBack(t *testing.T) {
	server := httptest.NewUnstartedServer(answers(vector("=1")))
	server.Listener.Close()
	listener := ownListener(t)
	address := listener.Addr().String()
	sources := sourcesAt(t, "http://"+address)
	listener.Close()
	factory := New(sources, Limits{})
	target := asking("x", "")
	_, failure := observed(t, factory.For(target.Policy), target)
	wantFailure(t, failure, v1alpha1.ReasonSourceUnavailable, "refused")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	defer server.Close()
	target.Now = now.Add(quiet - time.Second)
	_, failure = observed(t, factory.For(target.Policy), target)
	wantFailure(t, failure, v1alpha1.ReasonSourceUnavailable, "refused")
	target.Now = now.Add(quiet)
	if _, failure = observed(t, factory.For(target.Policy), target); failure != nil {
		t.Errorf("%s: %s", failure.Reason, failure.Message)
	}
}

// A server that never answers is given up at the source's timeout; so is one
// whose answer never ends.
func TestPrometheusSlow(t *testing.T) {
	for name, before := range map[string]string{"silent": "", "within the body": `{"status":`} {
		t.Run(name, func(t *testing.T) {
			sources := served(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, before)
				if before != "" {
					w.(http.Flusher).Flush()
				}
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			})
			slow := sources["default"]
			slow.Timeout = 50 * time.Millisecond
			sources["default"] = slow
			target := asking(usualQuery, "")
			_, failure := observed(t, New(sources, Limits{}).For(target.Policy), target)
			wantFailure(t, failure, v1alpha1.ReasonSourceUnavailable, "no answer within 50ms")
		})
	}
}

// Of a body of 100 MB, not much more than the bound is taken, told its length or not.
func TestPrometheusLargeBody(t *testing.T) {
	const size = 100 << 20
	for name, told := range map[string]bool{"its length told": true, "its length not told": false} {
		t.Run(name, func(t *testing.T) {
			var written atomic.Int64
			done := make(chan struct{})
			sources := served(t, func(w http.ResponseWriter, _ *http.Request) {
				defer close(done)
				if told {
					w.Header().Set("Content-Length", strconv.Itoa(size))
				}
				chunk := []byte(strings.Repeat(" ", 64<<10))
				for range size / len(chunk) {
					n, err := w.Write(chunk)
					written.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
			target := asking(usualQuery, "")
			_, failure := observed(t, New(sources, Limits{}).For(target.Policy), target)
			wantFailure(t, failure, v1alpha1.ReasonAnswerUnusable, "over 1024 KiB")
			<-done
			// What the kernel's buffers hold comes on top.
			if n := written.Load(); n > 20<<20 {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}

// What is sent: the query with its variables filled in and its namespace set,
// as of the target's time, with the credentials that the file has now.
func TestPrometheusRequest(t *testing.T) {
	var forms []url.Values
	var tokens []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		forms, tokens = append(forms, r.PostForm), append(tokens, r.Header.Get("Authorization"))
		answers(vector("=1000"))(w, r)
	}))
	defer server.Close()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "one\n")
	write(t, filepath.Join(dir, "sources.yaml"), fmt.Sprintf(
		"sources: [{name: default, address: %q, namespaceLabel: ns, httpClientConfig: {authorization: {credentials_file: token}}}]", server.URL+"/prefix"))
	sources, err := LoadSources(filepath.Join(dir, "sources.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	target := asking(`histogram_quantile({{ quantile }}, x{pod=~"{{ pods }}"}[{{ window }}])`, "count(y)")
	target.Policy.Spec.GracePeriod.Latency.Prometheus.Query = `max_over_time(x{pod=~"{{ pods }}"}[{{ window }}]) * {{ quantile }}`
	observer := New(sources, Limits{}).For(target.Policy)
	got, failure := observed(t, observer, target)
	if failure != nil {
		t.Fatal(failure)
	}
	want := latency.Summary{Requests: 1000, Latency: 1000 * time.Second, Since: now.Add(-10 * time.Minute), At: now}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	write(t, filepath.Join(dir, "token"), "two\n")
	observed(t, observer, target)
	wantForms := []url.Values{
		{"query": {`max_over_time(x{ns="shop",pod=~"db-[0-9]+"}[10m]) * 0.9`}, "time": {"1777896000"}, "timeout": {"10s"}},
		{"query": {`count(y{ns="shop"})`}, "time": {"1777896000"}, "timeout": {"10s"}},
	}
	if diff := cmp.Diff(append(wantForms, wantForms...), forms); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Bearer one", "Bearer one", "Bearer two", "Bearer two"}, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if err := os.Remove(filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	_, failure = observed(t, observer, target)
	wantFailure(t, failure, v1alpha1.ReasonSourceUnavailable, "token")
}

// The certificate is verified; and no password gets into a message.
func TestPrometheusTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answers(vector("=1.5"))(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	tests := map[string]struct{ client, message string }{
		"as configured":       {"{basic_auth: {username: op, password: hunter2}, tls_config: {ca_file: ca.crt}}", ""},
		"another password":    {"{basic_auth: {username: op, password: hunter3}, tls_config: {ca_file: ca.crt}}", "401"},
		"an unknown signer":   {"{basic_auth: {username: op, password: hunter2}}", "certificate"},
		"another server name": {"{basic_auth: {username: op, password: hunter2}, tls_config: {ca_file: ca.crt, server_name: prometheus}}", "certificate"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			sources, err := parseSources(fmt.Appendf(nil, "sources: [{name: default, address: %q, httpClientConfig: %s}]", server.URL, tc.client), dir)
			if err != nil {
				t.Fatal(err)
			}
			target := asking("x", "")
			_, failure := observed(t, New(sources, Limits{}).For(target.Policy), target)
			if tc.message == "" && failure == nil {
				return
			}
			wantFailure(t, failure, v1alpha1.ReasonSourceUnavailable, tc.message)
			if strings.Contains(failure.Message, "hunter") {
				t.Errorf("the message has the password: %s", failure.Message)
			}
		})
	}
}

func TestPrometheusCountQuery(t *testing.T) {
	tests := map[string]struct{ count, reason, message string }{
		"empty":       {vector(), v1alpha1.ReasonNoData, "countQuery"},
		"NaN":         {vector("=NaN"), v1alpha1.ReasonAnswerUnusable, "NaN"},
		"negative":    {vector("=-1"), v1alpha1.ReasonAnswerUnusable, "-1"},
		"a histogram": {vector("le:1=1", "le:+Inf=2"), v1alpha1.ReasonAnswerUnusable, "histogram"},
		"broken":      {"<", v1alpha1.ReasonAnswerUnusable, "countQuery"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			sources := served(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.FormValue("query"), "counted") {
					answers(tc.count)(w, r)
					return
				}
				answers(vector("=1"))(w, r)
			})
			target := asking("value", "counted")
			_, failure := observed(t, New(sources, Limits{}).For(target.Policy), target)
			wantFailure(t, failure, tc.reason, tc.message)
		})
	}
}

// Nothing is sent for a query that may not be asked.
func TestPrometheusNotAsked(t *testing.T) {
	tests := map[string]struct {
		edit            func(*Target)
		reason, message string
	}{
		"another namespace": {func(tg *Target) { latencyOf(tg).Prometheus.Query = `x{namespace="other"}` }, v1alpha1.ReasonQueryInvalid, "conflicts"},
		"no PromQL":         {func(tg *Target) { latencyOf(tg).Prometheus.Query = `sum(` }, v1alpha1.ReasonQueryInvalid, "parse"},
		"no pods":           {func(tg *Target) { tg.Pods = nil }, v1alpha1.ReasonNoData, "no pod runs"},
		"an unknown source": {func(tg *Target) { latencyOf(tg).Prometheus.Source = "thanos" }, v1alpha1.ReasonSourceUnknown, `"thanos" is configured; there is default`},
		"nothing asked for": {func(tg *Target) { tg.Policy.Spec.GracePeriod.Latency = nil }, v1alpha1.ReasonNotAskedFor, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			sources := served(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked", r.URL) })
			target := asking(usualQuery, "")
			tc.edit(&target)
			_, failure := observed(t, New(sources, Limits{}).For(target.Policy), target)
			wantFailure(t, failure, tc.reason, tc.message)
		})
	}
	target := asking(usualQuery, "")
	_, failure := observed(t, New(nil, Limits{}).For(target.Policy), target)
	wantFailure(t, failure, v1alpha1.ReasonSourceUnknown, "no latency source is configured")
}

func latencyOf(t *Target) *v1alpha1.Latency { return t.Policy.Spec.GracePeriod.Latency }

func TestPrometheusCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sources := served(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	target := asking(usualQuery, "")
	_, err := New(sources, Limits{}).For(target.Policy).Observe(ctx, target)
	var failure *Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got %v", err)
	}
	wantFailure(t, failure, v1alpha1.ReasonSourceUnavailable, "")
}
