package gate

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod is what a verdict reads of a pod, and what is needed to write to it. To
// read the whole would take twice as long: most of it are managed fields and
// what is in containers.
type pod struct {
	Meta struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		UID               types.UID         `json:"uid"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		ReadinessGates                []corev1.PodReadinessGate `json:"readinessGates"`
		TerminationGracePeriodSeconds *int64                    `json:"terminationGracePeriodSeconds"`
	} `json:"spec"`
	Status struct {
		Phase             corev1.PodPhase          `json:"phase"`
		Conditions        []corev1.PodCondition    `json:"conditions"`
		ContainerStatuses []corev1.ContainerStatus `json:"containerStatuses"`
		StartTime         *metav1.Time             `json:"startTime"`
	} `json:"status"`
}

// whole is a pod with nothing else in it, nil for none.
func (p *pod) whole() *corev1.Pod {
	if p == nil {
		return nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Meta.Name, Namespace: p.Meta.Namespace, UID: p.Meta.UID,
			Labels: p.Meta.Labels, Annotations: p.Meta.Annotations, DeletionTimestamp: p.Meta.DeletionTimestamp,
		},
		Spec: corev1.PodSpec{
			ReadinessGates: p.Spec.ReadinessGates, TerminationGracePeriodSeconds: p.Spec.TerminationGracePeriodSeconds,
		},
		Status: corev1.PodStatus{
			Phase: p.Status.Phase, Conditions: p.Status.Conditions,
			ContainerStatuses: p.Status.ContainerStatuses, StartTime: p.Status.StartTime,
		},
	}
}
