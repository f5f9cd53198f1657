package framework

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Session is one long request to one pod, by way of the API server. Its headers
// have come when it begins, so that nobody sends it twice.
type Session struct {
	pod    string
	cancel context.CancelFunc
	ended  chan struct{}
	answer string
	err    error
}

// Session begins one that takes so long, at most five minutes.
func (n *Namespace) Session(ctx context.Context, pod string, d time.Duration) *Session {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	DeferCleanup(cancel)
	body, err := n.Kube.CoreV1().RESTClient().Get().Namespace(n.Name).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod, WorkPort)).SubResource("proxy").Suffix("work").
		Param("flush", "1").Param("ms", strconv.FormatInt(d.Milliseconds(), 10)).Stream(ctx)
	Expect(err).NotTo(HaveOccurred())
	s := &Session{pod: pod, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer body.Close()
		answer, err := io.ReadAll(body)
		s.answer, s.err = string(answer), err
	}()
	return s
}

// Sessions begins one with each of these pods.
func (n *Namespace) Sessions(ctx context.Context, d time.Duration, pods ...string) (all []*Session) {
	GinkgoHelper()
	for _, pod := range pods {
		all = append(all, n.Session(ctx, pod, d))
	}
	return all
}

// End ends the session from its client's side.
func (s *Session) End() {
	s.cancel()
	<-s.ended
}

// ExpectUnderWay fails the spec if the session has ended.
func (s *Session) ExpectUnderWay() {
	GinkgoHelper()
	select {
	case <-s.ended:
		Fail(fmt.Sprintf("the session with %s has ended: %q, %v", s.pod, s.answer, s.err))
	default:
	}
}

// ExpectWhole waits until the session ends and fails the spec if it was cut.
func (s *Session) ExpectWhole(ctx context.Context) {
	GinkgoHelper()
	Eventually(s.ended).WithContext(ctx).WithTimeout(long).Should(BeClosed())
	Expect(s.err).NotTo(HaveOccurred(), "the session with %s was cut", s.pod)
	Expect(s.answer).To(Equal(s.pod + "\n"))
}

// ExpectWhole waits until all sessions end, none of them cut.
func ExpectWhole(ctx context.Context, sessions []*Session) {
	GinkgoHelper()
	for _, s := range sessions {
		s.ExpectWhole(ctx)
	}
}
