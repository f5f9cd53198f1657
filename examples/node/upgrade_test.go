package node

import (
	"bufio"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"

// counted is what a request gets and counts as meanwhile.
type counted struct {
	code                int
	inFlight, longLived int64
}

// A request with an Upgrade header is one like another, unless the application
// listens for it.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		events  []string
		request string
		want    counted
	}{
		"nobody listens":              {nil, "GET /?ms=2000 HTTP/1.1\r\nHost: shop\r\n" + upgrade + "\r\n", counted{200, 1, 0}},
		"with a body":                 {nil, "POST /?ms=2000 HTTP/1.1\r\nHost: shop\r\nContent-Length: 1\r\n" + upgrade + "\r\nx", counted{200, 1, 0}},
		"the application listens":     {[]string{"upgrade"}, "GET / HTTP/1.1\r\nHost: shop\r\n" + upgrade + "\r\n", counted{101, 0, 1}},
		"it takes tunnels":            {[]string{"connect"}, "CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n", counted{200, 0, 1}},
		"another removes listeners":   {[]string{"request"}, "GET /?ms=2000 HTTP/1.1\r\nHost: shop\r\n\r\n", counted{200, 1, 0}},
		"it says when to go on":       {[]string{"checkContinue"}, "POST /?ms=2000 HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", counted{100, 1, 0}},
		"it says so, and emits again": {[]string{"checkContinue"}, "POST /?ms=2000&again HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", counted{100, 1, 0}},
		"nobody says when to go on":   {nil, "POST /?ms=2000 HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", counted{100, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, "127.0.0.1", tc.events...)
			c, r := w.say(t, tc.request)
			w.awaitCounts(t, tc.want.inFlight, tc.want.longLived)
			got := tc.want
			got.code = statusOf(t, r)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(counted{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.longLived > 0 && w.look(t, "").OldestLongLivedSeconds <= 0 {
				t.Error("nothing is said of its age")
			}
			_ = c.Close()
			w.awaitCounts(t, 0, 0)
		})
	}
}

func statusOf(t *testing.T, r *bufio.Reader) (code int) {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &code); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return code
}

// Requests in a row on a connection are all gone when the client is.
func TestHangUpOfAPipeline(t *testing.T) {
	t.Parallel()
	w := start(t, "127.0.0.1")
	const request = "GET /?ms=60000 HTTP/1.1\r\nHost: shop\r\n\r\n"
	c, _ := w.say(t, request+request+request)
	w.awaitCounts(t, 3, 0)
	_ = c.Close()
	w.awaitCounts(t, 0, 0)
}
