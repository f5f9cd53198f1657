package condition

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/grace"
	"github.com/drain-operator/drain-operator/internal/latency"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// Look is what the last look at the latency came to. The zero value says that
// there was none yet.
type Look struct {
	At time.Time
	// Summary is what was seen; nil when nothing could be seen.
	Summary *latency.Summary
	// Reason of the condition LatencyObserved and Message for people, when
	// nothing could be seen.
	Reason, Message string
}

// OwnGrace is the longest terminationGracePeriodSeconds that owners gave
// these pods, in seconds: the API's default where there are none.
func OwnGrace(pods []*corev1.Pod) int64 {
	if len(pods) == 0 {
		return corev1.DefaultTerminationGracePeriodSeconds
	}
	longest := int64(0)
	for _, pod := range pods {
		longest = max(longest, plan.OwnGrace(pod))
	}
	return longest
}

// appliedGrace is the terminationGracePeriodSeconds of the newest of the pods,
// the longest where several are equally new; nil where there are none.
func appliedGrace(pods []*corev1.Pod) *int32 {
	var newest *corev1.Pod
	for _, pod := range pods {
		if newest == nil || newer(pod, newest) {
			newest = pod
		}
	}
	if newest == nil {
		return nil
	}
	return ptr.To(int32(min(graceOf(newest), math.MaxInt32))) //nolint:gosec // bounded
}

func newer(a, b *corev1.Pod) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return graceOf(a) > graceOf(b)
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}

func graceOf(pod *corev1.Pod) int64 {
	return ptr.Deref(pod.Spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
}

// graceStatus is the recommendation with what is applied; the old one when
// nothing changed that a person would notice.
func graceStatus(f Facts) *v1alpha1.GraceStatus {
	if f.Grace == nil {
		return f.Policy.Status.GracePeriod
	}
	now := f.Grace.DeepCopy()
	now.AppliedSeconds = appliedGrace(f.Coverage.Covered)
	old := f.Policy.Status.GracePeriod
	edited := f.Policy.Status.ObservedGeneration != f.Policy.Generation // and the reason may show it
	if old != nil && !edited && !grace.Noticeable(old, now) {
		return old
	}
	return now
}

// latencyObserved says whether the grace stands on measurements. Its messages
// hold nothing that changes with every look.
func latencyObserved(p *v1alpha1.DrainPolicy, look Look) metav1.Condition {
	set := func(status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionLatencyObserved, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	seen := look.Summary
	switch {
	case p.Spec.GracePeriod.Latency == nil:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNotAskedFor, "spec.gracePeriod.latency names no source: the pod's own grace stands for it")
	case look.At.IsZero():
		if old := find(p, v1alpha1.ConditionLatencyObserved); old != nil && old.Reason != v1alpha1.ReasonNotAskedFor {
			return *old
		}
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNotYetSeen, "nobody has looked yet")
	case seen == nil:
		return set(metav1.ConditionFalse, look.Reason, "%s; what was recommended stands", Shorten(look.Message))
	case !seen.RequestsUnknown && seen.Requests < grace.MinRequests:
		return set(metav1.ConditionFalse, v1alpha1.ReasonTooFewRequests,
			"fewer than %d requests were seen in the window; what was recommended stands", grace.MinRequests)
	case seen.TooCoarse && !seen.RequestsUnknown:
		return set(metav1.ConditionFalse, v1alpha1.ReasonHistogramTooCoarse,
			"the percentile lies beyond the last bound of the histogram, %s: pods get gracePeriod.maxSeconds", seen.Latency)
	case seen.RequestsUnknown:
		return set(metav1.ConditionTrue, v1alpha1.ReasonLatencySeen, "seen, on how many requests is not known: it can only make the grace longer")
	default:
		return set(metav1.ConditionTrue, v1alpha1.ReasonLatencySeen, "the latency of enough requests is seen")
	}
}
