package framework

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/test/corpus"
)

// ShapeApp is the app label of the pods of SecurityShapes.
const ShapeApp = "shape"

// SecurityShapes are the pods of the corpus reduced to their security contexts
// and the workload, one of each distinct shape. Their names say nothing; the
// annotation "of" names the pod of the corpus.
func SecurityShapes() []*corev1.Pod {
	GinkgoHelper()
	cases, err := corpus.Load()
	Expect(err).NotTo(HaveOccurred())
	var pods []*corev1.Pod
	// Any free port: some of the pods share the host's network.
	for _, shape := range corpus.SecurityShapes(cases, Image(), []string{"/workload", "-addr=:0"}) {
		pod := shape.Pod
		pod.Labels = map[string]string{"app": ShapeApp}
		pod.Annotations = map[string]string{"of": shape.Name}
		pod.Spec.AutomountServiceAccountToken = ptr.To(false)
		pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](5)
		pods = append(pods, pod)
	}
	return pods
}
