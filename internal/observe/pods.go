package observe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	maxPodPatterns   = 100
	maxPatternBytes  = 4 << 10
	generatedLetters = 5
	// letter is one of those that Kubernetes makes random names and template
	// hashes of: no vowels, so that words such as "api" do not match.
	letter = "[bcdfghjklmnpqrstvwxz2456789]"
)

var errNoPods = errors.New("no pod runs, and the query asks for {{ pods }}")

// podsPattern is a regular expression for the names of the pods and of those
// that had the same owners before, since a window looks back further than pods
// live: any revision of a Deployment, any ordinal of a StatefulSet. It is to be
// anchored, as PromQL does, and needs no backslash. At most 100 alternatives
// and 4 KiB.
func podsPattern(pods []*corev1.Pod) (string, error) {
	seen := map[string]bool{}
	var patterns []string
	for _, pod := range pods {
		if p := podPattern(pod); !seen[p] {
			seen[p] = true
			patterns = append(patterns, p)
		}
	}
	slices.Sort(patterns)
	pattern := strings.Join(patterns, "|")
	switch {
	case len(patterns) == 0:
		return "", errNoPods
	case len(patterns) > maxPodPatterns, len(pattern) > maxPatternBytes:
		return "", fmt.Errorf("{{ pods }} would be %d alternatives in %d bytes, at most %d in %d are allowed; select by another label",
			len(patterns), len(pattern), maxPodPatterns, maxPatternBytes)
	}
	return pattern, nil
}

// podPattern matches the name of the pod, and what its owner calls others.
func podPattern(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return literal(pod.Name)
	}
	if base, is := strings.CutSuffix(strings.TrimRight(pod.Name, "0123456789"), "-"); owner.Kind == "StatefulSet" && is {
		return literal(base) + "-[0-9]+"
	}
	base, suffix := pod.Name, ""
	if len(base) > generatedLetters {
		base, suffix = base[:len(base)-generatedLetters], base[len(base)-generatedLetters:]
	}
	if pod.GenerateName == "" || base == "" || !strings.HasPrefix(pod.GenerateName, base) || strings.Trim(suffix, letter) != "" {
		return literal(pod.Name)
	}
	return literal(withoutRevision(pod, owner, base)) + revision(pod, owner, base) + fmt.Sprintf("%s{%d}", letter, generatedLetters)
}

// withoutRevision takes the template's hash off the beginning of a pod's name,
// where the name was short enough to hold it: "web-7d4b9-" becomes "web-".
func withoutRevision(pod *corev1.Pod, owner *metav1.OwnerReference, base string) string {
	hash := pod.Labels["pod-template-hash"]
	if owner.Kind == "ReplicaSet" && hash != "" && strings.HasSuffix(owner.Name, "-"+hash) && base == owner.Name+"-" {
		return strings.TrimSuffix(base, hash+"-")
	}
	return base
}

func revision(pod *corev1.Pod, owner *metav1.OwnerReference, base string) string {
	if withoutRevision(pod, owner, base) == base {
		return ""
	}
	return letter + "{1,10}-"
}

// literal matches a name and nothing else. Names have letters, digits, - and
// dots; a dot in brackets needs no backslash.
func literal(name string) string { return strings.ReplaceAll(name, ".", "[.]") }
