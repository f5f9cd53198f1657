package observe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

// Whatever the path, it is the pod's own address that is asked, with a GET that
// carries nothing of the operator's: no token, no cookie, no header of choice.
func TestPodMetricsReachNothingElse(t *testing.T) {
	type asked struct{ Method, Host, URI string }
	var got []asked
	var headers http.Header
	pod := build.MakePod("a").Obj()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, asked{r.Method, r.Host, r.RequestURI})
		headers = r.Header
	}))
	defer server.Close()
	host, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.PodIP, pod.Status.Phase = host, corev1.PodRunning
	s := newScraper(Limits{Loopback: true, Scrapes: 1, PodTimeout: 10 * time.Second})
	var want []asked
	for path, uri := range map[string]string{
		"/metrics":                       "/metrics",
		"//secrets.example/x":            "//secrets.example/x",
		"/@secrets.example/x":            "/@secrets.example/x",
		"/../../x":                       "/../../x",
		"/x?target=http://s.example":     "/x?target=http://s.example",
		"/\\secrets.example":             "/%5Csecrets.example",
		"/x%0d%0aAuthorization:%20stole": "/x%0d%0aAuthorization:%20stole",
	} {
		resp, err := s.get(t.Context(), pod, &v1alpha1.PodMetricsLatency{Port: intstr.FromInt(port), Path: path})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		want = append(want, asked{http.MethodGet, server.Listener.Addr().String(), uri})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if diff := cmp.Diff(http.Header{
			"Accept": {acceptPages}, "Accept-Encoding": {"gzip"}, "Connection": {"close"}, "User-Agent": {"drain-operator"},
		}, headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	}
}
