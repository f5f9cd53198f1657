package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Exclusion is why a pod is left alone.
type Exclusion string

// Reasons for which a pod is left alone. docs/injection.md explains each.
const (
	ExcludedControlPlane      Exclusion = "ControlPlaneNamespace"
	ExcludedOperatorNamespace Exclusion = "OperatorNamespace"
	ExcludedNamespace         Exclusion = "ExcludedNamespace"
	ExcludedOptedOut          Exclusion = "OptedOut"
	ExcludedMirrorPod         Exclusion = "MirrorPod"
	ExcludedStaticPod         Exclusion = "StaticPod"
	ExcludedRestartPolicy     Exclusion = "RestartPolicy"
	ExcludedWindows           Exclusion = "Windows"
	ExcludedAnnotationsFull   Exclusion = "AnnotationsFull"
)

// Exclusions are all of them, in the order in which they are looked for.
var Exclusions = []Exclusion{
	ExcludedControlPlane, ExcludedOperatorNamespace, ExcludedNamespace, ExcludedOptedOut,
	ExcludedMirrorPod, ExcludedStaticPod, ExcludedRestartPolicy, ExcludedWindows, ExcludedAnnotationsFull,
}

// annotationConfigSource says where the kubelet has a pod from.
const annotationConfigSource = "kubernetes.io/config.source"

var controlPlaneNamespaces = sets.New(metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease)

// Exclude reports whether a pod is left alone, and why. The namespace is an
// argument since a pod has none yet while it is being created.
func Exclude(pod *corev1.Pod, namespace string, o Options) (Exclusion, bool) {
	switch {
	case controlPlaneNamespaces.Has(namespace):
		return ExcludedControlPlane, true
	case o.OperatorNamespace != "" && namespace == o.OperatorNamespace:
		return ExcludedOperatorNamespace, true
	case o.ExcludedNamespaces.Has(namespace):
		return ExcludedNamespace, true
	case pod.Annotations[v1alpha1.AnnotationInject] == "false":
		return ExcludedOptedOut, true
	case hasKey(pod.Annotations, corev1.MirrorPodAnnotationKey):
		return ExcludedMirrorPod, true
	case isStatic(pod):
		return ExcludedStaticPod, true
	case pod.Spec.RestartPolicy != "" && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways:
		return ExcludedRestartPolicy, true
	case isWindows(&pod.Spec):
		return ExcludedWindows, true
	case annotationBytes(pod) > maxAnnotationBytes-reservedAnnotationBytes:
		return ExcludedAnnotationsFull, true
	}
	return "", false
}

// isStatic reports whether the kubelet has the pod from a file or URL, or a
// node claims it.
func isStatic(pod *corev1.Pod) bool {
	source, found := pod.Annotations[annotationConfigSource]
	return found && source != "api" || slices.ContainsFunc(pod.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return owner.Kind == "Node" && owner.APIVersion == "v1"
	})
}

// isWindows reports whether the pod can only run on Windows: it says so, has
// options for Windows, or selects or requires Windows nodes.
func isWindows(spec *corev1.PodSpec) bool {
	switch {
	case spec.OS != nil:
		return spec.OS.Name == corev1.Windows
	case spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows),
		spec.NodeSelector["beta.kubernetes.io/os"] == string(corev1.Windows):
		return true
	case spec.SecurityContext != nil && spec.SecurityContext.WindowsOptions != nil:
		return true
	}
	return requiresWindowsNodes(spec.Affinity)
}

// requiresWindowsNodes reports whether every way in which the required node
// affinity can be met asks for Windows.
func requiresWindowsNodes(affinity *corev1.Affinity) bool {
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	terms := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(term.MatchExpressions, asksForWindows)
	})
}

func asksForWindows(r corev1.NodeSelectorRequirement) bool {
	return r.Key == corev1.LabelOSStable && r.Operator == corev1.NodeSelectorOpIn &&
		slices.Equal(r.Values, []string{string(corev1.Windows)})
}

// The API server bounds a pod's annotations; what is reserved is more than
// injection ever adds (see maxRecordedHookBytes).
const (
	maxAnnotationBytes      = 256 << 10
	reservedAnnotationBytes = 64 << 10
)

// annotationBytes counts the pod's annotations without our own record.
func annotationBytes(pod *corev1.Pod) int {
	total := 0
	for key, value := range pod.Annotations {
		if key == v1alpha1.AnnotationOriginal {
			continue
		}
		total += len(key) + len(value)
	}
	return total
}

func hasKey(m map[string]string, key string) bool {
	_, found := m[key]
	return found
}
