package plan

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Workload is what owns a pod and stays the same from rollout to rollout.
type Workload struct{ Kind, Name string }

// String is such as Deployment/web.
func (w Workload) String() string { return w.Kind + "/" + w.Name }

// revisions are the owners of ReplicaSets, by the label whose value ends the
// ReplicaSet's name.
var revisions = []struct{ label, kind string }{
	{"pod-template-hash", "Deployment"},
	{"rollouts-pod-template-hash", "Rollout"}, // Argo Rollouts
}

// WorkloadOf is the pod's controller: of a ReplicaSet's pod its Deployment, of a
// pod without a controller the pod itself.
func WorkloadOf(pod *corev1.Pod) Workload {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return Workload{"Pod", pod.Name}
	}
	for _, r := range revisions {
		hash := pod.Labels[r.label]
		if base, is := strings.CutSuffix(owner.Name, "-"+hash); is && hash != "" && owner.Kind == "ReplicaSet" {
			return Workload{r.kind, base}
		}
	}
	return Workload{owner.Kind, owner.Name}
}
