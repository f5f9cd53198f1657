package drain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

func TestNotice(t *testing.T) {
	tests := map[string]struct {
		longLived   v1alpha1.LongLived
		propagation *int32
		want        *drainstatus.Notice
		// over is how long after it was taken out of rotation; 0: never.
		over time.Duration
	}{
		"not given":  {v1alpha1.LongLived{}, nil, nil, 0},
		"Exclude":    {v1alpha1.LongLived{Policy: v1alpha1.LongLivedExclude, NoticeSeconds: 20}, nil, nil, 0},
		"Wait":       {v1alpha1.LongLived{Policy: v1alpha1.LongLivedWait}, nil, &drainstatus.Notice{AfterSeconds: 5, Seconds: 10}, 16 * time.Second},
		"CloseAfter": {v1alpha1.LongLived{Policy: v1alpha1.LongLivedCloseAfter, NoticeSeconds: 20}, ptr.To[int32](7), &drainstatus.Notice{AfterSeconds: 7, Seconds: 20}, 28 * time.Second},
		"at once":    {v1alpha1.LongLived{Policy: v1alpha1.LongLivedCloseAfter, NoticeSeconds: 1}, ptr.To[int32](0), &drainstatus.Notice{Seconds: 1}, 2 * time.Second},
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := &v1alpha1.DrainPolicy{Spec: v1alpha1.DrainPolicySpec{
				LongLived: tc.longLived, PreStop: v1alpha1.PreStop{PropagationSeconds: tc.propagation},
			}}
			if diff := cmp.Diff(tc.want, Notice(p)); diff != "" {
				t.Errorf("notice (-want +got):\n%s", diff)
			}
			pod := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
				Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(at),
			}}}}
			want := time.Time{}
			if tc.over > 0 {
				want = at.Add(tc.over)
			}
			if got := NoticeOver(pod, p); got != want {
				t.Errorf("over at %v, want %v", got, want)
			}
			pod.Status.Conditions[0].Status = corev1.ConditionTrue
			if got := NoticeOver(pod, p); !got.IsZero() {
				t.Errorf("in rotation: over at %v", got)
			}
		})
	}
}
