package framework

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/test/load"
	"github.com/drain-operator/drain-operator/test/load/loadpod"
)

// Load sends requests from a pod in the spec's namespace.
type Load struct{ pod *loadpod.Pod }

// StartLoad starts a load generator and lets it send cfg, once the target
// answers it.
func (n *Namespace) StartLoad(ctx context.Context, cfg load.Config) *Load {
	GinkgoHelper()
	pod, err := loadpod.Start(ctx, n.Config, n.Name, "load", Image())
	Expect(err).NotTo(HaveOccurred())
	l := &Load{pod: pod}
	l.awaitTarget(ctx, cfg)
	l.Begin(ctx, cfg)
	return l
}

// awaitTarget waits until the target answers: a Service is reachable a moment
// after its pods are ready.
func (l *Load) awaitTarget(ctx context.Context, cfg load.Config) {
	GinkgoHelper()
	probe := load.Config{Target: cfg.Target, BusyConns: 1, Work: Exactly(time.Millisecond)}
	if cfg.RPCConns > 0 {
		probe.BusyConns, probe.RPCConns = 0, 1
	}
	Eventually(func(g Gomega) {
		l.Begin(ctx, probe)
		g.Eventually(func() (int, error) {
			live, err := l.pod.Live(ctx)
			return live.Requests, err
		}).WithContext(ctx).WithTimeout(short).WithPolling(glance / 2).ShouldNot(BeZero())
		g.Expect(l.Finish(ctx).Tally().ByCause[load.Answered]).NotTo(BeZero(), "%s does not answer", cfg.Target)
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(Succeed())
}

// Begin sends cfg from now on.
func (l *Load) Begin(ctx context.Context, cfg load.Config) {
	GinkgoHelper()
	Expect(l.pod.Begin(ctx, cfg)).To(Succeed())
}

// AwaitRequests waits until n requests have ended.
func (l *Load) AwaitRequests(ctx context.Context, n int) {
	GinkgoHelper()
	Eventually(func() (int, error) {
		live, err := l.pod.Live(ctx)
		return live.Requests, err
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(BeNumerically(">=", n))
}

// AwaitMore waits until n more requests have ended.
func (l *Load) AwaitMore(ctx context.Context, n int) {
	GinkgoHelper()
	live, err := l.pod.Live(ctx)
	Expect(err).NotTo(HaveOccurred())
	l.AwaitRequests(ctx, live.Requests+n)
}

// StartRareLoad is StartLoad without asking first whether the target answers:
// it must, and nothing else comes than cfg says.
func (n *Namespace) StartRareLoad(ctx context.Context, cfg load.Config) *Load {
	GinkgoHelper()
	pod, err := loadpod.Start(ctx, n.Config, n.Name, "load", Image())
	Expect(err).NotTo(HaveOccurred())
	l := &Load{pod: pod}
	l.Begin(ctx, cfg)
	return l
}

// OneRequest starts a load generator that sends one request, and returns when
// that is under way.
func (n *Namespace) OneRequest(ctx context.Context, target string, work time.Duration) *Load {
	GinkgoHelper()
	return n.Requests(ctx, target, 1, work)
}

// Requests starts a load generator that sends so many requests at once, each on
// a connection of its own, and returns when all are under way.
func (n *Namespace) Requests(ctx context.Context, target string, requests int, work time.Duration) *Load {
	GinkgoHelper()
	cfg := Busy(target, requests, work)
	cfg.DurationSeconds = 1 // after which no other is begun
	l := n.StartLoad(ctx, cfg)
	Eventually(func() (int, error) {
		live, err := l.pod.Live(ctx)
		return live.Outstanding, err
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance / 5).Should(Equal(requests))
	return l
}

// LastSent is when the last request was sent.
func LastSent(r load.Results) time.Time {
	last := r.StartedAt
	for _, rec := range r.Records {
		if at := r.StartedAt.Add(rec.Start); at.After(last) {
			last = at
		}
	}
	return last
}

// Finish stops sending, waits for the answers under way, and returns all.
func (l *Load) Finish(ctx context.Context) load.Results {
	GinkgoHelper()
	results, err := l.pod.Finish(ctx)
	Expect(err).NotTo(HaveOccurred())
	return results
}

// ExpectNothingDropped fails the spec unless at least n requests were sent and
// all were answered.
func ExpectNothingDropped(r load.Results, n int, filters ...func(load.Record) bool) {
	GinkgoHelper()
	tally := r.Tally(filters...)
	Expect(tally.Requests).To(BeNumerically(">=", n), "requests sent")
	Expect(tally.Failed()).To(BeZero(), "of %d requests: %s", tally.Requests, failures(r))
}

// failures tells the causes, and the times of the first few.
func failures(r load.Results) string {
	text := ""
	for _, cause := range load.Failures() {
		n, times := 0, ""
		for _, rec := range r.Records {
			if rec.Cause != cause {
				continue
			}
			if n++; n <= 5 {
				times += fmt.Sprintf(" %s(+%s, %s %s, pod %q)", r.StartedAt.Add(rec.Start).Format("15:04:05.000"),
					rec.Latency.Round(time.Millisecond), rec.Kind, rec.Method, r.Pods[rec.Pod])
			}
		}
		if n > 0 {
			text += fmt.Sprintf("%d %s:%s; ", n, cause, times)
		}
	}
	return text
}

// Steady is load of rate requests a second on fresh connections, and of
// eight persistent ones with pauses, half of it POST, of 20 ms to 5 s.
func Steady(target string, rate float64) load.Config {
	return load.Config{
		Target: target, FreshPerSecond: rate, KeepAlivePerSecond: rate / 2, KeepAliveConns: 8, PostPercent: 50,
		Work: load.Work{MinMillis: 20, MedianMillis: 100, P99Millis: 3000, MaxMillis: 5000}, Seed: 7,
	}
}

// FreshMix is load of rate requests a second on fresh connections only, half of
// it POST, of 20 ms to 5 s.
func FreshMix(target string, rate float64) load.Config {
	cfg := Steady(target, rate)
	cfg.KeepAlivePerSecond, cfg.KeepAliveConns = 0, 0
	return cfg
}

// Busy is one request after the other on persistent connections.
func Busy(target string, conns int, work time.Duration) load.Config {
	return load.Config{Target: target, BusyConns: conns, Work: Exactly(work), PostPercent: 50, Seed: 7}
}

// Exactly is work that always takes the same time.
func Exactly(work time.Duration) load.Work {
	ms := int(work.Milliseconds())
	return load.Work{MinMillis: ms, MedianMillis: ms, P99Millis: ms, MaxMillis: ms}
}
