package plan

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// settings are a policy's fields with the API's defaults in place, for
// policies that no API server has defaulted.
type settings struct {
	strategy       v1alpha1.HookStrategy
	existing       v1alpha1.ExistingHook
	release        v1alpha1.ReleaseWhen
	propagation    int32
	propagationMax int32
	http           *v1alpha1.HTTPDrainStatus
	tcp            *v1alpha1.TCPDrainStatus
	notify         *v1alpha1.Notify
	scraped        *intstr.IntOrString // the port of gracePeriod.latency.podMetrics
	longLived      *hold.LongLived     // nil: Exclude
	stopSignal     string              // empty: none
	alignServers   bool
	grace          graceBounds
}

func settingsOf(p *v1alpha1.DrainPolicy) settings {
	spec := p.Spec
	preStop, grace := spec.PreStop, spec.GracePeriod
	propagation := int32(5)
	if preStop.PropagationSeconds != nil {
		propagation = *preStop.PropagationSeconds
	}
	return settings{
		strategy:       cmp.Or(preStop.Strategy, v1alpha1.StrategyAgent),
		existing:       cmp.Or(preStop.ExistingHook, v1alpha1.ExistingHookKeep),
		release:        cmp.Or(preStop.ReleaseWhen, v1alpha1.ReleaseWhenDrained),
		propagation:    propagation,
		propagationMax: cmp.Or(preStop.PropagationMaxSeconds, 30),
		http:           spec.DrainStatus.HTTP,
		tcp:            spec.DrainStatus.TCP,
		notify:         preStop.Notify,
		scraped:        scrapedPort(grace.Latency),
		longLived:      longLivedOf(spec.LongLived),
		stopSignal:     string(preStop.StopSignal),
		alignServers:   grace.ServerTimeout == v1alpha1.ServerTimeoutAlign,
		grace: graceBounds{
			min:      int64(cmp.Or(grace.MinSeconds, 10)),
			max:      int64(cmp.Or(grace.MaxSeconds, 600)),
			shutdown: seconds(grace.ShutdownSeconds),
			maxHold:  seconds(preStop.MaxHoldSeconds),
			notice:   noticeOf(spec.LongLived),
			hold:     measuredHold(p),
			learned:  learnedShutdown(p.Status.GracePeriod),
		},
	}
}

func scrapedPort(l *v1alpha1.Latency) *intstr.IntOrString {
	if l == nil || l.PodMetrics == nil {
		return nil
	}
	return &l.PodMetrics.Port
}

// longLivedOf is nil where long-lived connections have no part in the drain.
func longLivedOf(l v1alpha1.LongLived) *hold.LongLived {
	switch l.Policy {
	case v1alpha1.LongLivedWait, v1alpha1.LongLivedCloseAfter:
		return &hold.LongLived{
			Policy:        string(l.Policy),
			NoticeSeconds: cmp.Or(l.NoticeSeconds, v1alpha1.DefaultNoticeSeconds),
		}
	}
	return nil
}

// noticeOf is what long-lived connections add to the hold. Seconds. With Wait
// nobody knows how long they stay: until the bound, whatever that is.
func noticeOf(l v1alpha1.LongLived) int64 {
	if l.Policy != v1alpha1.LongLivedCloseAfter {
		return 0
	}
	return int64(cmp.Or(l.NoticeSeconds, v1alpha1.DefaultNoticeSeconds))
}

// measuredHold is nil as soon as the policy names no source of latency any
// more, whether or not its status has caught up.
func measuredHold(p *v1alpha1.DrainPolicy) *int64 {
	if p.Spec.GracePeriod.Latency == nil || p.Status.GracePeriod == nil {
		return nil
	}
	return seconds(p.Status.GracePeriod.HoldSeconds)
}

// measuredElsewhere says that what was measured is not of the pod's workload.
// Whose requests a query is about is not known: the policy's, as it was asked to be.
func measuredElsewhere(p *v1alpha1.DrainPolicy, pod *corev1.Pod) bool {
	latency, status := p.Spec.GracePeriod.Latency, p.Status.GracePeriod
	if latency == nil || latency.PodMetrics == nil || status == nil {
		return false
	}
	return !slices.Contains(status.MeasuredWorkloads, WorkloadOf(pod).String())
}

func learnedShutdown(status *v1alpha1.GraceStatus) *int64 {
	if status == nil {
		return nil
	}
	return seconds(status.ShutdownSeconds)
}

// seconds widens an optional number of seconds.
func seconds(s *int32) *int64 {
	if s == nil {
		return nil
	}
	wide := int64(*s)
	return &wide
}
