package node

import (
	"bufio"
	"fmt"
	"io"
	"net/http/httputil"
	"net/textproto"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// headers is what a response says of its connection, and beside it.
type headers struct {
	Connection, Cookies []string
}

// Whatever the application says of the connection, while draining it closes.
func TestClose(t *testing.T) {
	t.Parallel()
	w := start(t, "127.0.0.1")
	cookies := []string{"a=1", "b=2"}
	for _, draining := range []bool{false, true} {
		w.notify(t, fmt.Sprintf(`{"draining": %t}`, draining))
		for _, says := range []string{"implicit", "removed", "object", "case", "reason", "nothing", "list", "pairs", "both"} {
			t.Run(fmt.Sprintf("%s,draining=%t", says, draining), func(t *testing.T) {
				want := headers{[]string{"keep-alive"}, cookies}
				switch {
				case draining:
					want.Connection = []string{"close"}
				case says == "case":
					want.Connection = []string{"keep-alive", "keep-alive"}
				case says == "removed":
					want.Connection = nil
				}
				c, r := w.ask(t, "/?says="+says)
				if diff := cmp.Diff(want, headersOf(t, r)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if !draining {
					_ = c.Close()
					return
				}
				if _, err := r.ReadByte(); err != io.EOF {
					t.Errorf("it stays open: %v", err)
				}
			})
		}
	}
	t.Run("switching protocols", func(t *testing.T) {
		_, r := w.ask(t, "/switch")
		if diff := cmp.Diff(headers{Connection: []string{"Upgrade"}}, headersOf(t, r)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// headersOf reads a response to its end. net/http keeps Connection to itself.
func headersOf(t *testing.T, r *bufio.Reader) headers {
	t.Helper()
	statusOf(t, r)
	all, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case all.Get("Transfer-Encoding") == "chunked":
		_, err = io.Copy(io.Discard, httputil.NewChunkedReader(r))
		_, _ = r.Discard(len("\r\n")) // no trailers
	case all.Get("Content-Length") != "":
		_, err = r.Discard(len("done\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return headers{all["Connection"], all["Set-Cookie"]}
}
