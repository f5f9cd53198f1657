package corpus

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/plan"
)

// Shape is a way in which pods of the corpus say as whom and with which
// privileges they run.
type Shape struct {
	// Name of the first pod that has it.
	Name string
	// Pod has the shape and nothing else of that pod, so that it starts on any
	// Linux node: its containers run what the caller of SecurityShapes says.
	Pod *corev1.Pod
}

// SecurityShapes are the distinct shapes of security context among the pods
// that are not left alone. Every container runs the given command of the image,
// which must be able to run as anybody. The pods have no namespace.
func SecurityShapes(cases []Case, image string, command []string) []Shape {
	var shapes []Shape
	known := map[string]bool{}
	for _, c := range slices.Concat(cases, madeUp()) {
		if _, excluded := plan.Exclude(c.Pod, metav1.NamespaceDefault, plan.Options{}); excluded {
			continue
		}
		pod := bare(c.Pod, image, command)
		key := encode(pod.Spec)
		if known[key] {
			continue
		}
		known[key] = true
		pod.Name = fmt.Sprintf("shape-%d", len(shapes))
		shapes = append(shapes, Shape{Name: c.Name, Pod: pod})
	}
	return shapes
}

// madeUp are pods that the corpus lacks: those that run as root by the pod's
// own security context, which an added container inherits.
func madeUp() []Case {
	pod := func(name string, pod corev1.PodSecurityContext, container *corev1.SecurityContext) Case {
		return Case{Name: name, Pod: &corev1.Pod{Spec: corev1.PodSpec{
			SecurityContext: &pod,
			Containers:      []corev1.Container{{Name: "app", SecurityContext: container}},
		}}}
	}
	root := ptr.To[int64](0)
	return []Case{
		pod("made up: as root", corev1.PodSecurityContext{RunAsUser: root}, nil),
		pod("made up: as root, but no container may",
			corev1.PodSecurityContext{RunAsUser: root, RunAsNonRoot: ptr.To(true)}, &corev1.SecurityContext{RunAsUser: ptr.To[int64](1000)}),
	}
}

// encode is a value's JSON, for comparing; plain data always has one.
func encode(v any) string {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// bare is a pod that keeps only security contexts and the host's namespaces.
// Of containers with the same one is enough.
func bare(pod *corev1.Pod, image string, command []string) *corev1.Pod {
	spec := corev1.PodSpec{
		SecurityContext: pod.Spec.SecurityContext.DeepCopy(),
		HostNetwork:     pod.Spec.HostNetwork,
		HostPID:         pod.Spec.HostPID,
		HostIPC:         pod.Spec.HostIPC,
		HostUsers:       pod.Spec.HostUsers,
	}
	if spec.SecurityContext != nil {
		spec.SecurityContext.Sysctls = nil // kubelets allow some only where told to
	}
	known := map[string]bool{}
	for _, c := range pod.Spec.Containers {
		key := encode(c.SecurityContext)
		if known[key] {
			continue
		}
		known[key] = true
		spec.Containers = append(spec.Containers, corev1.Container{
			Name:            fmt.Sprintf("app-%d", len(spec.Containers)),
			Image:           image,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Command:         command,
			SecurityContext: c.SecurityContext.DeepCopy(),
		})
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "shape"}}, Spec: spec}
}
