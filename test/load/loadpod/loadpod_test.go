package loadpod

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/drain-operator/drain-operator/test/load"
)

// reached makes a pod whose API server is a proxy to a load generator in this
// process.
func reached(t *testing.T) *Pod {
	t.Helper()
	generator := load.NewServer(t.Context()).Handler()
	api := httptest.NewServer(http.StripPrefix("/api/v1/namespaces/ns/pods/load:9090/proxy", generator))
	t.Cleanup(api.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	return &Pod{client: client, rest: client.CoreV1().RESTClient(), namespace: "ns", name: "load"}
}

func TestRunThroughTheAPIServer(t *testing.T) {
	answered := make(chan struct{}, 1000)
	work := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"pod":"web-1"}`)
		answered <- struct{}{}
	}))
	defer work.Close()
	p := reached(t)
	if err := p.Begin(t.Context(), load.Config{Target: work.URL + "/work", FreshPerSecond: 100, BusyConns: 1}); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		<-answered
	}
	live, err := p.Live(t.Context())
	if err != nil || live.Requests == 0 {
		t.Errorf("live is %+v, %v", live, err)
	}
	res, err := p.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Tally(); got.Requests < 50 || got.Failed() > 0 {
		t.Errorf("tally is %+v", got)
	}
	if diff := cmp.Diff([]string{"", "web-1"}, res.Pods); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

// What is under way when the sending stops is told as ever.
func TestStopDoesNotWait(t *testing.T) {
	arrived, release := make(chan struct{}, 1000), make(chan struct{})
	work := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	defer work.Close()
	p := reached(t)
	if err := p.Begin(t.Context(), load.Config{Target: work.URL + "/work", BusyConns: 2}); err != nil {
		t.Fatal(err)
	}
	<-arrived
	<-arrived
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release)
	res, err := p.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Tally(); got.Requests != 2 || got.Failed() > 0 {
		t.Errorf("tally is %+v, want the two that were under way", got)
	}
}

func TestErrorsSayWhatTheGeneratorSaid(t *testing.T) {
	p := reached(t)
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"wrong configuration": {p.Begin(t.Context(), load.Config{Target: "http://example.test/"}), "literal IP"},
		"nothing started":     {func() error { _, err := p.Finish(t.Context()); return err }(), "stopping load"},
	} {
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) {
			t.Errorf("%s: error %v does not say %q", name, tc.err, tc.want)
		}
	}
}
