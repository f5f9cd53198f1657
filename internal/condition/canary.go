package condition

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// ErrUnsatisfiable says that no pod can match a selector.
var ErrUnsatisfiable = errors.New("no pod can match the selector")

// Canary is a pod that the policy selects, made to be created as a dry run. It
// meets the restricted Pod Security Standard, so that what refuses it is
// not its own doing. Its name is always the same for a policy, so that messages
// about it are.
func Canary(p *v1alpha1.DrainPolicy) (*corev1.Pod, error) {
	podLabels, err := labelsFor(p.Spec.Selector)
	if err != nil {
		return nil, err
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   p.Namespace,
			Name:        "drain-operator-canary-" + string(p.UID[:min(8, len(p.UID))]),
			Labels:      podLabels,
			Annotations: map[string]string{v1alpha1.AnnotationPolicy: p.Name},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To(int64(corev1.DefaultTerminationGracePeriodSeconds)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   ptr.To(true),
				RunAsUser:      ptr.To(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{canaryContainer()},
		},
	}, nil
}

// CanaryWithoutUs is the same pod, which injection leaves alone.
func CanaryWithoutUs(canary *corev1.Pod) *corev1.Pod {
	plain := canary.DeepCopy()
	plain.Annotations[v1alpha1.AnnotationInject] = "false"
	return plain
}

// canaryContainer is large enough for the agent, so that it is given one.
func canaryContainer() corev1.Container {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("100m"),
		corev1.ResourceMemory: resource.MustParse("64Mi"),
	}
	return corev1.Container{
		Name:      "canary",
		Image:     "drain-operator.dev/canary:never-pulled",
		Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Resources: corev1.ResourceRequirements{Requests: resources, Limits: resources},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			ReadOnlyRootFilesystem:   ptr.To(true),
		},
	}
}

// labelsFor finds labels that a selector matches.
func labelsFor(s *metav1.LabelSelector) (map[string]string, error) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("reading the selector: %w", err)
	}
	requirements, selectable := selector.Requirements()
	if !selectable {
		return nil, ErrUnsatisfiable
	}
	found := map[string]string{}
	for _, r := range requirements {
		if r.Operator() == selection.In || r.Operator() == selection.Equals || r.Operator() == selection.Exists {
			if value, ok := valueFor(r.Key(), requirements); ok {
				found[r.Key()] = value
			}
		}
	}
	if !selector.Matches(labels.Set(found)) {
		return nil, ErrUnsatisfiable
	}
	return found, nil
}

// valueFor is a value that all requirements on a key allow: the first in the
// alphabet of those that are listed, else one that nobody forbids.
func valueFor(key string, requirements labels.Requirements) (string, bool) {
	var candidates []string
	for _, r := range requirements {
		if r.Key() == key {
			candidates = append(candidates, r.Values().UnsortedList()...)
		}
	}
	slices.Sort(candidates)
	for n := range len(candidates) + 1 { // one of these is in nobody's list
		candidates = append(candidates, fmt.Sprintf("canary-%d", n))
	}
	for _, value := range candidates {
		if !slices.ContainsFunc(requirements, func(r labels.Requirement) bool {
			return r.Key() == key && !r.Matches(labels.Set{key: value})
		}) {
			return value, true
		}
	}
	return "", false
}
