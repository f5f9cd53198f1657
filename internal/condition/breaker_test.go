package condition

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

func TestBreaker(t *testing.T) {
	const image = "example.com/agent@sha256:1"
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	started := func(created time.Time) AgentPod {
		return AgentPod{Name: "ok", Created: created, Since: created, Image: image, Started: true}
	}
	stuck := func(created time.Time) AgentPod {
		return AgentPod{Name: "stuck", Created: created, Since: created, Image: image, Trouble: "ImagePullBackOff"}
	}
	was := func(status metav1.ConditionStatus, reason string, since time.Time) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.ConditionAgentInstallable, Status: status, Reason: reason, Message: "as before",
			ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(since)}
	}
	const stuckMessage = "new pods get the native sleep hook, since stuck cannot start with the agent example.com/agent@sha256:1: ImagePullBackOff. " +
		"A pod that is stuck stays so until the image can be had or it is deleted"
	type answer struct {
		Status          metav1.ConditionStatus
		Reason, Message string
		After           time.Duration
	}
	tests := map[string]struct {
		before *metav1.Condition
		edit   func(*breaker)
		pods   []AgentPod
		trial  Trial
		want   answer
	}{
		"nothing is known": {
			want: answer{metav1.ConditionUnknown, v1alpha1.ReasonNotYetTried, "no pod has started with the agent yet", 0},
		},
		"not needed": {
			edit: func(b *breaker) { b.policy.Spec.PreStop.Strategy = v1alpha1.StrategySleep },
			pods: []AgentPod{stuck(ago(time.Hour))},
			want: answer{metav1.ConditionTrue, v1alpha1.ReasonNotNeeded, "the policy's hook needs no agent", 0},
		},
		"a pod started": {
			pods: []AgentPod{started(ago(time.Minute))},
			want: answer{metav1.ConditionTrue, v1alpha1.ReasonInstallable, "a pod started with the agent", 0},
		},
		"in trouble for less than a minute": {
			pods: []AgentPod{stuck(ago(20 * time.Second))},
			want: answer{metav1.ConditionUnknown, v1alpha1.ReasonNotYetTried, "no pod has started with the agent yet", 40 * time.Second},
		},
		"stuck for a minute": {
			pods: []AgentPod{started(ago(time.Hour)), stuck(ago(time.Minute))},
			want: answer{metav1.ConditionFalse, v1alpha1.ReasonImagePull, stuckMessage, OpenFor},
		},
		"stuck, although all was well": {
			before: was(metav1.ConditionTrue, v1alpha1.ReasonInstallable, ago(time.Second)),
			pods:   []AgentPod{stuck(ago(time.Minute))},
			want:   answer{metav1.ConditionFalse, v1alpha1.ReasonImagePull, stuckMessage, OpenFor},
		},
		"refused with the agent only": {
			trial: Trial{Result: ResultAgentRefused, Generation: 1, At: now, Message: "registry not allowed"},
			want: answer{metav1.ConditionFalse, v1alpha1.ReasonPodsRefused,
				"pods get the native sleep hook, since they are refused with the agent and accepted without: registry not allowed", OpenFor},
		},
		"open, and it is not time yet": {
			before: was(metav1.ConditionFalse, v1alpha1.ReasonImagePull, ago(4*time.Minute)),
			pods:   []AgentPod{started(ago(time.Hour)), stuck(ago(time.Hour))},
			want:   answer{metav1.ConditionFalse, v1alpha1.ReasonImagePull, "as before", 6 * time.Minute},
		},
		"open for long enough": {
			before: was(metav1.ConditionFalse, v1alpha1.ReasonImagePull, ago(OpenFor)),
			pods:   []AgentPod{stuck(ago(time.Hour))},
			want:   answer{metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, "new pods get the agent again: it could not be installed 10 minutes ago", 0},
		},
		"open, and the policy was changed": {
			before: was(metav1.ConditionFalse, v1alpha1.ReasonImagePull, ago(time.Minute)),
			edit:   func(b *breaker) { b.policy.Generation = 2 },
			want:   answer{metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, "new pods get the agent again: the policy was changed", 0},
		},
		"open, and the agent's image was changed": {
			before: was(metav1.ConditionFalse, v1alpha1.ReasonImagePull, ago(time.Minute)),
			edit:   func(b *breaker) { b.image = "example.com/agent@sha256:2" },
			want:   answer{metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, "new pods get the agent again: the agent's image was changed", 0},
		},
		"trying again: older pods prove nothing": {
			before: was(metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, ago(2*time.Minute)),
			pods:   []AgentPod{stuck(ago(time.Hour)), started(ago(time.Hour))},
			trial:  Trial{Result: ResultAgentRefused, Generation: 1, At: ago(time.Hour)},
			want:   answer{metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, "as before", 0},
		},
		"trying again: a newer pod is stuck": {
			before: was(metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, ago(2*time.Minute)),
			pods:   []AgentPod{stuck(ago(90 * time.Second))},
			want:   answer{metav1.ConditionFalse, v1alpha1.ReasonImagePull, stuckMessage, OpenFor},
		},
		"trying again: a newer pod started": {
			before: was(metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, ago(2*time.Minute)),
			pods:   []AgentPod{stuck(ago(time.Hour)), started(ago(time.Minute))},
			want:   answer{metav1.ConditionTrue, v1alpha1.ReasonRecovered, "a pod started with the agent again", 0},
		},
		"recovered: pods that are stuck since before do not open it again": {
			before: was(metav1.ConditionTrue, v1alpha1.ReasonRecovered, ago(time.Minute)),
			pods:   []AgentPod{stuck(ago(time.Hour))},
			want:   answer{metav1.ConditionTrue, v1alpha1.ReasonRecovered, "as before", 0},
		},
		"the agent is avoided": {
			edit: func(b *breaker) { b.avoided = true },
			want: answer{metav1.ConditionUnknown, v1alpha1.ReasonEmptyDirAvoided, emptyDirAvoided, 0},
		},
		"avoided from now on, and some pods get it all the same": {
			before: was(metav1.ConditionTrue, v1alpha1.ReasonInstallable, ago(time.Minute)),
			edit:   func(b *breaker) { b.avoided = true },
			pods:   []AgentPod{started(ago(time.Minute))},
			want:   answer{metav1.ConditionUnknown, v1alpha1.ReasonEmptyDirAvoided, emptyDirAvoided, 0},
		},
		"avoided, and one that gets it all the same is stuck": {
			edit: func(b *breaker) { b.avoided = true },
			pods: []AgentPod{stuck(ago(time.Minute))},
			want: answer{metav1.ConditionFalse, v1alpha1.ReasonImagePull, stuckMessage, OpenFor},
		},
		"avoided while it is tried again: older pods prove nothing": {
			before: was(metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, ago(2*time.Minute)),
			edit:   func(b *breaker) { b.avoided = true },
			pods:   []AgentPod{stuck(ago(time.Hour))},
			want:   answer{metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, "as before", 0},
		},
		"avoided, but the policy needs no agent": {
			edit: func(b *breaker) { b.avoided, b.policy.Spec.PreStop.Strategy = true, v1alpha1.StrategySleep },
			want: answer{metav1.ConditionTrue, v1alpha1.ReasonNotNeeded, "the policy's hook needs no agent", 0},
		},
		"no longer avoided": {
			before: was(metav1.ConditionUnknown, v1alpha1.ReasonEmptyDirAvoided, ago(time.Minute)),
			pods:   []AgentPod{started(ago(time.Second))},
			want:   answer{metav1.ConditionTrue, v1alpha1.ReasonInstallable, "a pod started with the agent", 0},
		},
		"needed again after a policy that needed none": {
			before: was(metav1.ConditionTrue, v1alpha1.ReasonNotNeeded, ago(time.Minute)),
			want:   answer{metav1.ConditionUnknown, v1alpha1.ReasonNotYetTried, "no pod has started with the agent yet", 0},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := testobjects.MakePolicy("web").Obj()
			p.Status.AgentImage = image
			if tc.before != nil {
				p = withCondition(p, *tc.before)
			}
			b := breaker{policy: p, image: image, pods: tc.pods, trial: tc.trial, now: now}
			if tc.edit != nil {
				tc.edit(&b)
			}
			c, after := b.condition()
			if diff := cmp.Diff(tc.want, answer{c.Status, c.Reason, c.Message, after}); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}
