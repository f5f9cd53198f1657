package metric

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const page = `# HELP http_in_flight Requests in flight.
# TYPE http_in_flight gauge
http_in_flight{handler="api",pod="a"} 2
http_in_flight{handler="api",pod="b"} 1.5 1700000000000
http_in_flight{handler="admin"} 0
http_in_flight_total 99
# TYPE jobs gauge
jobs 0
# TYPE nan gauge
nan NaN
inf +Inf
negative{a="1"} 1
negative{a="2"} -1
huge 1e300
# TYPE latency histogram
latency_bucket{le="+Inf"} 4
latency_sum 1.5
latency_count 4
{"with.dots",handler="api"} 7
`

func reply(body string) drainstatus.Reply {
	return drainstatus.Reply{StatusCode: 200, ContentType: "text/plain; version=0.0.4", Body: strings.NewReader(body)}
}

func unreadable(why string) drainstatus.Reading {
	return drainstatus.NotReadable("%s", why)
}

func busy(n int64, why string) drainstatus.Reading {
	return drainstatus.Reading{State: drainstatus.Busy, InFlight: n, LongLived: drainstatus.Untold, Reason: why}
}

func drained(why string) drainstatus.Reading {
	return drainstatus.Reading{State: drainstatus.Drained, LongLived: drainstatus.Untold, Reason: why}
}

func TestEvaluateSelects(t *testing.T) {
	tests := map[string]struct {
		selector Selector
		want     drainstatus.Reading
	}{
		"the sum over all series":       {Selector{Name: "http_in_flight"}, busy(4, "http_in_flight is 3.5")},
		"the series with the label":     {Selector{"http_in_flight", map[string]string{"handler": "api", "pod": "a"}}, busy(2, "http_in_flight is 2")},
		"a series that is 0":            {Selector{"http_in_flight", map[string]string{"handler": "admin"}}, drained("http_in_flight is 0")},
		"no labels at all":              {Selector{Name: "jobs"}, drained("jobs is 0")},
		"an absent label is empty":      {Selector{"jobs", map[string]string{"handler": ""}}, drained("jobs is 0")},
		"part of a histogram":           {Selector{Name: "latency_count"}, busy(4, "latency_count is 4")},
		"a quoted name":                 {Selector{Name: "with.dots"}, busy(7, "with.dots is 7")},
		"no such name":                  {Selector{Name: "http_in"}, unreadable("http_in: no such sample")},
		"no such label":                 {Selector{"jobs", map[string]string{"handler": "api"}}, unreadable("jobs: no such sample")},
		"the histogram is not a sample": {Selector{Name: "latency"}, unreadable("latency: no such sample")},
		"no name":                       {Selector{}, unreadable(": no such sample")},
		"NaN":                           {Selector{Name: "nan"}, unreadable("nan: a sample is NaN, want a number that is not negative")},
		"infinite":                      {Selector{Name: "inf"}, unreadable("inf: a sample is +Inf, want a number that is not negative")},
		"a sum of 0 with a negative": {
			Selector{Name: "negative"}, unreadable("negative: a sample is -1, want a number that is not negative"),
		},
		"beyond belief": {Selector{Name: "huge"}, unreadable("huge: a sum of 1e+300 is not believed")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.selector.Evaluate(reply(page))); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
		})
	}
}

// The state of jobs, which every page below would call drained if it were read
// without care.
func TestEvaluateRefuses(t *testing.T) {
	with := func(change func(*drainstatus.Reply)) drainstatus.Reply {
		r := reply("jobs 0\n")
		change(&r)
		return r
	}
	tests := map[string]drainstatus.Reply{
		"no answer":              with(func(r *drainstatus.Reply) { r.Err = errors.New("timeout") }),
		"a redirect":             with(func(r *drainstatus.Reply) { r.StatusCode = 301 }),
		"503":                    with(func(r *drainstatus.Reply) { r.StatusCode = 503 }),
		"protobuf":               with(func(r *drainstatus.Reply) { r.ContentType = "application/vnd.google.protobuf" }),
		"HTML":                   with(func(r *drainstatus.Reply) { r.ContentType = "text/html" }),
		"a content type alike":   with(func(r *drainstatus.Reply) { r.ContentType = "text/plainer" }),
		"no body":                with(func(r *drainstatus.Reply) { r.Body = nil }),
		"an empty page":          reply(""),
		"cut before the newline": reply("jobs 0"),
		"cut in the value":       reply("jobs{a=\"1\"} 0\njobs{a=\"2\"} "),
		"no value":               reply("jobs\n"),
		"two values":             reply("jobs 0 0 0\n"),
		"a parser that panics":   reply("{}\njobs 0\n"),
		"a broken label":         reply("jobs{a=} 0\n"),
		"a line without end":     reply(strings.Repeat("x", MaxLineBytes+1) + "\njobs 0\n"),
		"a page without end":     with(func(r *drainstatus.Reply) { r.Body = &endless{line: "other 0\n"} }),
		"samples without end":    with(func(r *drainstatus.Reply) { r.Body = &endless{line: "jobs 0\n"} }),
		"a body that breaks off": with(func(r *drainstatus.Reply) { r.Body = io.MultiReader(r.Body, failing{}) }),
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			got := Selector{Name: "jobs"}.Evaluate(r)
			if got.State != drainstatus.Unreadable || got.Reason == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestPageBound(t *testing.T) {
	filler := strings.Repeat("#"+strings.Repeat("x", 1022)+"\n", MaxPageBytes/1024-1)
	fits := filler + fmt.Sprintf("%1023s\n", "jobs 0")
	if len(fits) != MaxPageBytes {
		t.Fatalf("the page has %d bytes", len(fits))
	}
	if got := (Selector{Name: "jobs"}).Evaluate(reply(fits)); got.State != drainstatus.Drained {
		t.Errorf("a page of exactly the bound: %+v", got)
	}
	if got := (Selector{Name: "jobs"}).Evaluate(reply(fits + "\n")); got.State != drainstatus.Unreadable {
		t.Errorf("a byte more: %+v", got)
	}
}

// endless repeats a line for ever.
type endless struct {
	line string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.line[e.at]
		e.at = (e.at + 1) % len(e.line)
	}
	return len(p), nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// Whatever a page holds, drained needs a line of it to begin with the name (or
// with a brace) and to have a zero in it.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{page, "jobs 0\n", "jobs 0", "jobs{a=\"b\"} 0 1\n", "{\"jobs\"} 0\n", "jobs{", "# TYPE jobs histogram\njobs 0\n", "\x00\n{"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got := Selector{Name: "jobs"}.Evaluate(reply(body))
		if got.State != drainstatus.Drained {
			return
		}
		for line := range strings.Lines(body) {
			line = strings.TrimLeft(line, " \t")
			if strings.HasSuffix(line, "\n") && (strings.HasPrefix(line, "jobs") || strings.HasPrefix(line, "{")) {
				return
			}
		}
		t.Errorf("drained from %q", body)
	})
}

// BenchmarkEvaluate reads a page of 1 MiB: the agent does so in the app's cgroup.
func BenchmarkEvaluate(b *testing.B) {
	big := strings.Repeat(`other_metric{path="/a/b/c",code="200"} 12345`+"\n", 1<<20/45) + "jobs 0\n"
	b.SetBytes(int64(len(big)))
	b.ReportAllocs()
	for b.Loop() {
		if (Selector{Name: "jobs"}).Evaluate(reply(big)).State != drainstatus.Drained {
			b.Fatal("not drained")
		}
	}
}
