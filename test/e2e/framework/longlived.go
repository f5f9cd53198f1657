package framework

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/load"
)

// Streams makes the last container the example with WebSockets and event
// streams, examples/stream, whose status only its own pod reads.
func (b *PodBuilder) Streams() *PodBuilder {
	c := b.last()
	c.Command = []string{"/stream"}
	c.Args = []string{fmt.Sprintf("-addr=:%d", WorkPort), fmt.Sprintf("-status-addr=127.0.0.1:%d", StatusPort), "-timeout=5s"}
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: httpGet("/healthz", WorkPort), PeriodSeconds: 1, TimeoutSeconds: 5}
	return b
}

// GRPC makes the last container the example with gRPC, examples/grpc, whose
// status only its own pod reads.
func (b *PodBuilder) GRPC() *PodBuilder {
	c := b.Streams().last()
	c.Command = []string{"/grpc"}
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: WorkPort}}, PeriodSeconds: 1, TimeoutSeconds: 5}
	return b
}

// LongLived says what becomes of connections that do not end by themselves.
func (b *PolicyBuilder) LongLived(policy v1alpha1.LongLivedPolicy, noticeSeconds int32) *PolicyBuilder {
	b.policy.Spec.LongLived = v1alpha1.LongLived{Policy: policy, NoticeSeconds: noticeSeconds}
	return b
}

// AwaitOpen waits until that many long-lived connections are open.
func (l *Load) AwaitOpen(ctx context.Context, n int) {
	GinkgoHelper()
	Eventually(func() (int, error) {
		live, err := l.pod.Live(ctx)
		return live.Open, err
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Equal(n), "connections open")
}

// ExpectAllTold fails the spec unless each of the clients was told to go before
// its connection ended, is connected at the end, and knows of every message what
// became of it. Each was told at least once.
func ExpectAllTold(r load.Results, kind load.SessionKind, clients int) {
	GinkgoHelper()
	tally := r.SessionTally(kind)
	AddReportEntry(kind.String(), fmt.Sprintf("%+v, reconnects per second %v", tally, r.Reconnects(kind, time.Second)), ReportEntryVisibilityNever)
	Expect(tally.Untold).To(BeZero(), "%s ended untold: %s", kind, sessionsThat(r, func(s load.Session) bool { return s.Kind == kind && !s.Kept() && s.Told == 0 }))
	Expect(tally.ToldAndCut).To(BeZero(), "%s cut: %s", kind, sessionsThat(r, func(s load.Session) bool { return s.Kind == kind && s.Told > 0 && s.Cause != load.Answered }))
	Expect(tally.Lost).To(BeZero(), "messages lost of %d", tally.Sent)
	Expect(tally.Kept).To(Equal(clients), "%s connected at the end", kind)
	Expect(told(r, kind)).To(Equal(clients), "clients of %s that were told", kind)
}

// told is how many clients were told to go.
func told(r load.Results, kind load.SessionKind) int {
	clients := map[int]bool{}
	for _, s := range r.Sessions {
		if s.Kind == kind && s.Told > 0 {
			clients[s.Client] = true
		}
	}
	return len(clients)
}

// sessionsThat tells the first few of those that are asked for.
func sessionsThat(r load.Results, are func(load.Session) bool) string {
	text, n := "", 0
	for _, s := range r.Sessions {
		if !are(s) || n == 10 {
			continue
		}
		n++
		text += fmt.Sprintf("%s from %s to %s, pod %q, told %s, lost %d; ", s.Cause, r.StartedAt.Add(s.Start).Format("15:04:05.000"),
			r.StartedAt.Add(s.End).Format("15:04:05.000"), r.Pods[s.Pod], s.Told, s.Lost)
	}
	return text
}
