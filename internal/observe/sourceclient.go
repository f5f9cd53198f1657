package observe

import (
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/common/config"
)

// maxAnswerBytes bounds the answer of a Prometheus, unpacked. One series per
// bucket is a few KiB.
const maxAnswerBytes = 1 << 20

// newSourceClient makes the client of a source: no redirects, no proxy that the
// environment names, answers of bounded size. The library reads the files of
// credentials and certificates again as they change.
func newSourceClient(s Source, c config.HTTPClientConfig, dir string) (*http.Client, error) {
	if err := checkClientConfig(c); err != nil {
		return nil, err
	}
	c.SetDirectory(dir)
	c.FollowRedirects = false
	client, err := config.NewClientFromConfig(c, "latency-source-"+s.Name, config.WithUserAgent("drain-operator"))
	if err != nil {
		return nil, err
	}
	client.Transport = bounded{client.Transport, maxAnswerBytes}
	client.Timeout = s.Timeout
	return client, nil
}

// bounded is a transport whose answers are no redirects and of bounded size.
type bounded struct {
	next  http.RoundTripper
	limit int64
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if refused := b.refusal(resp); refused != nil {
		resp.Body.Close()
		return nil, refused
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: b.limit, limit: b.limit}
	return resp, nil
}

func (b bounded) refusal(resp *http.Response) error {
	switch {
	case resp.StatusCode/100 == 3:
		return redirectError{resp.StatusCode}
	case resp.ContentLength > b.limit:
		return tooLargeError{b.limit}
	}
	return nil
}

// boundedBody fails where a body goes on beyond the limit: half an answer is none.
type boundedBody struct {
	io.ReadCloser
	left, limit int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, tooLargeError{b.limit}
	}
	return n, err
}

type tooLargeError struct{ limit int64 }

func (e tooLargeError) Error() string { return fmt.Sprintf("the answer is over %d KiB", e.limit>>10) }

type redirectError struct{ status int }

func (e redirectError) Error() string {
	return fmt.Sprintf("answered %d; redirects are not followed", e.status)
}
