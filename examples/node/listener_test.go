package node

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// said is what the status listener says to a request.
type said struct {
	code         int
	allow, about string
	empty        bool
}

// call asks the status listener.
func (w workload) call(t *testing.T, method, path, body string, header http.Header) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+w.status+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return said{response.StatusCode, response.Header.Get("Allow"), response.Header.Get("Content-Type"), len(text) == 0}
}

const (
	plain = "text/plain"
	json  = "application/json"
)

func TestStatusListener(t *testing.T) {
	t.Parallel()
	w := start(t, "127.0.0.1")
	long := strings.Repeat(" ", drainstatus.MaxBodyBytes-len(`{"draining": false}`))
	for name, tc := range map[string]struct {
		method, path, body string
		want               said
	}{
		"no path of a URL":              {"GET", "//", "", said{404, "", plain, false}},
		"a path that begins as a host":  {"GET", "//:x", "", said{404, "", plain, false}},
		"another path":                  {"GET", "/", "", said{404, "", plain, false}},
		"HEAD":                          {"HEAD", "/drain-status", "", said{200, "", json, true}},
		"POST of the status":            {"POST", "/drain-status", "", said{405, "GET, HEAD", plain, false}},
		"GET of the notification":       {"GET", "/drain", "", said{405, "POST", plain, false}},
		"an empty wish":                 {"GET", "/drain-status?waitSeconds=", "", said{200, "", json, false}},
		"a long wish":                   {"GET", "/drain-status?waitSeconds=3600", "", said{200, "", json, false}},
		"a wish with more":              {"GET", "/drain-status?waitSeconds=1&longLived=true", "", said{200, "", json, false}},
		"a wish in the past":            {"GET", "/drain-status?waitSeconds=-1", "", said{400, "", plain, false}},
		"a wish with a unit":            {"GET", "/drain-status?waitSeconds=5s", "", said{400, "", plain, false}},
		"no characters of ours":         {"GET", "/drain-status?waitSeconds=%C2%B2&%", "", said{400, "", plain, false}},
		"an empty notification":         {"POST", "/drain", "", said{400, "", plain, false}},
		"no object":                     {"POST", "/drain", "null", said{400, "", plain, false}},
		"not said":                      {"POST", "/drain", `{"drain": true}`, said{400, "", plain, false}},
		"deep":                          {"POST", "/drain", strings.Repeat("[", 60000), said{400, "", plain, false}},
		"something after it":            {"POST", "/drain", `{"draining": true} {}`, said{400, "", plain, false}},
		"as long as it may be":          {"POST", "/drain", `{"draining": false}` + long, said{200, "", json, false}},
		"too long":                      {"POST", "/drain", `{"draining": false}` + long + " ", said{413, "", plain, false}},
		"too long in other characters":  {"POST", "/drain", `{"x": "` + strings.Repeat("é", 40000) + `", "draining": true}`, said{413, "", plain, false}},
		"much too long":                 {"POST", "/drain", strings.Repeat(" ", 16<<20), said{413, "", plain, false}},
		"unknown fields and the notice": {"POST", "/drain", `{"draining": false, "notice": {"seconds": 5}, "more": [1]}`, said{200, "", json, false}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, w.call(t, tc.method, tc.path, tc.body, nil), cmp.AllowUnexported(said{})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(drainstatus.Status{Version: 1}, w.look(t, "")); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}

// What comes in on the status listener does not end the process.
func TestStatusListenerOutlives(t *testing.T) {
	t.Parallel()
	w := start(t, "127.0.0.1")
	for name, text := range map[string]string{
		"what is no URL":      "GET // HTTP/1.1\r\nHost: pod\r\n\r\n",
		"what is no host":     "GET http://[/ HTTP/1.1\r\nHost: pod\r\n\r\n",
		"the whole server":    "OPTIONS * HTTP/1.1\r\nHost: pod\r\n\r\n",
		"no host":             "GET /drain-status HTTP/1.1\r\n\r\n",
		"a tunnel":            "CONNECT pod:1 HTTP/1.1\r\nHost: pod\r\n\r\n",
		"an upgrade":          "GET // HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"no HTTP":             "\x16\x03\x01\x00\r\n\r\n",
		"a body that is cut":  "POST /drain HTTP/1.1\r\nHost: pod\r\nContent-Length: 100\r\n\r\n{",
		"a chunk that is cut": "POST /drain HTTP/1.1\r\nHost: pod\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"two at once":         "GET // HTTP/1.1\r\nHost: pod\r\n\r\nGET // HTTP/1.1\r\nHost: pod\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", w.status)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
			if diff := cmp.Diff(drainstatus.Status{Version: 1}, w.look(t, "")); diff != "" {
				t.Errorf("afterwards (-want +got):\n%s", diff)
			}
		})
	}
}

// One that cannot be told keeps neither the others from it nor the answer back.
func TestToldAllTheSame(t *testing.T) {
	t.Parallel()
	w := start(t, "127.0.0.1")
	_, failing := w.ask(t, "/fails")
	w.awaitCounts(t, 1, 0)
	_, stream := w.ask(t, "/events")
	w.awaitCounts(t, 1, 1)
	if got := w.notify(t, `{"draining": true}`); got != 200 {
		t.Errorf("answered with %d", got)
	}
	answer(t, failing)
	answer(t, stream)
	w.awaitCounts(t, 0, 0)
}

const token = "of-this-pod"

// Where others than this pod get, a notification needs the token.
func TestToken(t *testing.T) {
	for name, tc := range map[string]struct {
		host, token string
		header      http.Header
		code        int
	}{
		"loopback":                     {"127.0.0.1", token, nil, 200},
		"loopback by name":             {"localhost", token, nil, 200},
		"none is sent":                 {"0.0.0.0", token, nil, 403},
		"a wrong one":                  {"0.0.0.0", token, http.Header{"Drain-Token": {"Of-this-pod"}}, 403},
		"a longer one":                 {"0.0.0.0", token, http.Header{"Drain-Token": {token + "s"}}, 403},
		"two":                          {"0.0.0.0", token, http.Header{"Drain-Token": {token, token}}, 403},
		"the right one":                {"0.0.0.0", token, http.Header{"Drain-Token": {token}}, 200},
		"the right one, on all":        {"::", token, http.Header{"Drain-Token": {token}}, 200},
		"none is sent, on all":         {"::", token, nil, 403},
		"one of other characters":      {"0.0.0.0", "é", http.Header{"Drain-Token": {"é"}}, 200},
		"none is configured":           {"0.0.0.0", "", http.Header{"Drain-Token": {token}}, 403},
		"none is configured, nor sent": {"0.0.0.0", "", http.Header{"Drain-Token": {""}}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(drainstatus.TokenEnv, tc.token)
			w := start(t, tc.host)
			if _, port, _ := net.SplitHostPort(w.status); tc.host == "localhost" {
				w.status = net.JoinHostPort("localhost", port)
			}
			got := w.call(t, "POST", "/drain", `{"draining": true}`, tc.header).code
			if draining := w.look(t, "").Draining; got != tc.code || draining != (tc.code == 200) {
				t.Errorf("answered with %d and draining %t, want %d", got, draining, tc.code)
			}
			if got := w.call(t, "GET", "/drain", "", nil).code; got != 405 {
				t.Errorf("GET was answered with %d", got)
			}
		})
	}
}
