// Package condition works out a DrainPolicy's whole status, and the events
// that go with it, from facts gathered beforehand. It is pure.
package condition

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/policy"
)

// Coverage is what the pods that one policy selects look like now. Pods that
// have ended or are terminating are in none of its figures.
type Coverage struct {
	// Pods that the policy wins. Each is injected, skipped or missing.
	Pods int32
	// Injected carry settings of this policy, Outdated of them of another generation.
	Injected, Outdated int32
	// Missing carry no settings of this policy, and would get them if they
	// were created now.
	Missing int32
	// Skipped are left alone, by reason.
	Skipped map[string]int32
	// Lost are pods that another policy wins.
	Lost map[Loss]int32
}

// Loss is by whom and why pods were won.
type Loss struct {
	Winner string
	Why    policy.Why
}

// Survey looks at all pods and all policies of a namespace, and returns the
// coverage of each policy by its name.
func Survey(policies []*v1alpha1.DrainPolicy, pods []*corev1.Pod, namespace string, o plan.Options) map[string]Coverage {
	compiled := compile(policies)
	coverage := make(map[string]Coverage, len(policies))
	for _, p := range policies {
		coverage[p.Name] = Coverage{}
	}
	for _, pod := range pods {
		if Ended(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		if matching := selecting(compiled, pod); len(matching) > 0 {
			count(coverage, pod, policy.Resolve(pod, matching), namespace, o)
		}
	}
	return coverage
}

// Ended reports whether a pod's containers have all ended for good.
func Ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// compiledPolicy has its selector parsed once for all pods.
type compiledPolicy struct {
	policy   *v1alpha1.DrainPolicy
	selector labels.Selector
}

func compile(policies []*v1alpha1.DrainPolicy) []compiledPolicy {
	compiled := make([]compiledPolicy, 0, len(policies))
	for _, p := range policies {
		selector, err := metav1.LabelSelectorAsSelector(p.Spec.Selector)
		if err != nil { // validated at admission: what cannot be read selects nothing
			continue
		}
		compiled = append(compiled, compiledPolicy{p, selector})
	}
	return compiled
}

func selecting(compiled []compiledPolicy, pod *corev1.Pod) []*v1alpha1.DrainPolicy {
	var matching []*v1alpha1.DrainPolicy
	for _, c := range compiled {
		if c.selector.Matches(labels.Set(pod.Labels)) {
			matching = append(matching, c.policy)
		}
	}
	return matching
}

// count adds one pod to the coverage of the policies that select it.
func count(coverage map[string]Coverage, pod *corev1.Pod, r policy.Resolution, namespace string, o plan.Options) {
	for _, lost := range r.Lost {
		c := coverage[lost.Policy]
		c.Lost = increment(c.Lost, Loss{Winner: lost.Winner, Why: lost.Why})
		coverage[lost.Policy] = c
	}
	for _, won := range []*v1alpha1.DrainPolicy{r.Effective, r.Observed} {
		if won != nil {
			coverage[won.Name] = coverage[won.Name].with(pod, won, namespace, o)
		}
	}
}

// with counts a pod that the policy wins.
func (c Coverage) with(pod *corev1.Pod, p *v1alpha1.DrainPolicy, namespace string, o plan.Options) Coverage {
	c.Pods++
	name, generation, injected := InjectedBy(pod)
	switch {
	case injected && name == p.Name:
		c.Injected++
		if generation != p.Generation {
			c.Outdated++
		}
		return c
	default:
		if reason, excluded := plan.Exclude(pod, namespace, o); excluded {
			c.Skipped = increment(c.Skipped, string(reason))
		} else {
			c.Missing++
		}
		return c
	}
}

// InjectedBy says which policy's settings an injected pod carries, and of
// which generation. What is not in the form that injection writes is nobody's.
func InjectedBy(pod metav1.Object) (name string, generation int64, ok bool) {
	if pod.GetLabels()[v1alpha1.LabelInjected] != "true" {
		return "", 0, false
	}
	name, number, found := strings.Cut(pod.GetAnnotations()[v1alpha1.AnnotationInjectedBy], "/")
	generation, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil || name == "" {
		return "", 0, false
	}
	return name, generation, true
}

// injectedBy is the annotation that says so.
func injectedBy(p *v1alpha1.DrainPolicy) string { return fmt.Sprintf("%s/%d", p.Name, p.Generation) }

func increment[K comparable](m map[K]int32, key K) map[K]int32 {
	if m == nil {
		m = map[K]int32{}
	}
	m[key]++
	return m
}
