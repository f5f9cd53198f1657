package framework

import (
	"encoding/json"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/test/corpus"
)

// ShapeApp is the app label of the pods of SecurityShapes.
const ShapeApp = "shape"

// SecurityShapes are the pods of the corpus reduced to their security contexts
// and the workload, one of each distinct shape: those of the pod and of its
// containers, and whether it is on the host's network. Pods for Windows are
// left out: no node here can start them.
func SecurityShapes() []*corev1.Pod {
	GinkgoHelper()
	cases, err := corpus.Load()
	Expect(err).NotTo(HaveOccurred())
	var shapes []*corev1.Pod
	seen := map[string]bool{}
	for _, c := range cases {
		if sc := c.Pod.Spec.SecurityContext; sc != nil && sc.WindowsOptions != nil {
			continue
		}
		pod := shapeOf(c)
		key, err := json.Marshal(pod.Spec)
		Expect(err).NotTo(HaveOccurred())
		if !seen[string(key)] {
			seen[string(key)] = true
			shapes = append(shapes, pod)
		}
	}
	return shapes
}

// shapeOf keeps one container per distinct security context.
func shapeOf(c corpus.Case) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: nameOf(c.Name), Labels: map[string]string{"app": ShapeApp}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To[int64](5),
			HostNetwork:                   c.Pod.Spec.HostNetwork,
			SecurityContext:               c.Pod.Spec.SecurityContext,
		},
	}
	var kept []string
	for _, container := range c.Pod.Spec.Containers {
		key, err := json.Marshal(container.SecurityContext)
		Expect(err).NotTo(HaveOccurred())
		if slices.Contains(kept, string(key)) {
			continue
		}
		kept = append(kept, string(key))
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
			Name: "c" + string(rune('0'+len(kept))), Image: Image(), ImagePullPolicy: corev1.PullIfNotPresent,
			Command: []string{"/workload"}, Args: []string{"-addr=:0"}, SecurityContext: container.SecurityContext,
		})
	}
	return pod
}

// nameOf makes a pod's name of a file's.
func nameOf(file string) string {
	name := []rune(file)
	for i, r := range name {
		if r == '_' {
			name[i] = '-'
		}
	}
	return string(name[:min(len(name), 60)])
}
