package drain

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// Notice is over which time a workload is to tell the clients of long-lived
// connections, from when it is told to drain; nil where the policy leaves them
// alone.
func Notice(p *v1alpha1.DrainPolicy) *drainstatus.Notice {
	switch p.Spec.LongLived.Policy {
	case v1alpha1.LongLivedWait, v1alpha1.LongLivedCloseAfter:
		return &drainstatus.Notice{
			AfterSeconds: int32(propagation(p) / time.Second), //nolint:gosec // bounded by the API
			Seconds:      cmp.Or(p.Spec.LongLived.NoticeSeconds, v1alpha1.DefaultNoticeSeconds),
		}
	}
	return nil
}

// NoticeOver is when that time is over for a pod whose deletion is held: the
// workload is told when the pod is taken out of rotation, which every leader
// can read from the pod. Zero while it is in rotation, or without a notice.
func NoticeOver(pod *corev1.Pod, p *v1alpha1.DrainPolicy) time.Time {
	notice := Notice(p)
	if notice == nil || !OutOfRotation(pod) {
		return time.Time{}
	}
	told := podCondition(pod, v1alpha1.PodInRotation).LastTransitionTime.Time
	return told.Add(granularity + notice.Over()).Round(0).UTC()
}
