package agent

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/sockets"
)

// asked is what a server sees of a request.
type asked struct {
	Host, SNI string
	Header    http.Header
}

// witness is a server that says what it is asked; TLS or not.
func witness(t *testing.T, scheme string) (port int32, seen func() asked) {
	t.Helper()
	l, port := listen(t, "")
	requests := make(chan asked, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a := asked{Host: r.Host, Header: r.Header}
		if r.TLS != nil {
			a.SNI = r.TLS.ServerName
		}
		requests <- a
	}))
	_ = server.Listener.Close() // its own, instead of which it gets ours
	server.Listener = l
	if scheme == "HTTPS" {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return port, func() asked { return <-requests }
}

// What tells the kubelet's probes from others, and what they can be answered by.
func TestProbeLooksLikeTheKubelets(t *testing.T) {
	agents := func(more ...string) http.Header {
		h := http.Header{"User-Agent": {"kube-probe/1.36 (drain-agent)"}, "Accept": {"*/*"}, "Connection": {"close"}}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	tests := map[string]struct {
		probe hold.Probe
		want  asked // the port of the server is added to a host that ends in a colon
	}{
		"HTTP":                {hold.Probe{}, asked{podIP + ":", "", agents()}},
		"HTTPS":               {hold.Probe{Scheme: "HTTPS"}, asked{podIP + ":", "", agents()}},
		"own Host header":     {hold.Probe{Headers: []hold.Header{{Name: "host", Value: "shop.example"}}}, asked{"shop.example", "", agents()}},
		"the same over HTTPS": {hold.Probe{Scheme: "HTTPS", Headers: []hold.Header{{Name: "Host", Value: "shop.example"}}}, asked{"shop.example", "", agents()}},
		"own host":            {hold.Probe{Host: "127.0.0.1"}, asked{"127.0.0.1:", "", agents()}},
		"a name for a host":   {hold.Probe{Host: "localhost", Scheme: "HTTPS"}, asked{"localhost:", "localhost", agents()}},
		"own headers":         {hold.Probe{Headers: []hold.Header{{Name: "X-Mine", Value: "!"}}}, asked{podIP + ":", "", agents("X-Mine", "!")}},
		"own User-Agent":      {hold.Probe{Headers: []hold.Header{{Name: "user-agent", Value: "me"}}}, asked{podIP + ":", "", agents("User-Agent", "me")}},
		"own Accept":          {hold.Probe{Headers: []hold.Header{{Name: "Accept", Value: "text/html"}}}, asked{podIP + ":", "", agents("Accept", "text/html")}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			port, seen := witness(t, tc.probe.Scheme)
			tc.probe.Port, tc.probe.HTTPPath = port, "/healthz"
			if err := probe(t.Context(), newDialer(&sockets.Own{}), tc.probe); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(tc.want.Host, ":") {
				tc.want.Host += strconv.Itoa(int(port))
			}
			if diff := cmp.Diff(tc.want, seen()); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}
