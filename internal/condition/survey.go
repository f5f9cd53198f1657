// Package condition works out a DrainPolicy's whole status, and the events
// that go with it, from facts gathered beforehand. It is pure.
package condition

import (
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
	// Covered are the pods that are injected or missing: not to be changed.
	Covered []*corev1.Pod
}

// Loss is by whom and why pods were won.
type Loss struct {
	Winner string
	Why    policy.Why
}

// Survey looks at all pods and all policies of a namespace, and returns the
// coverage of each policy by its name.
func Survey(policies []*v1alpha1.DrainPolicy, pods []*corev1.Pod, namespace string, o plan.Options) map[string]Coverage {
	index := compile(policies)
	coverage := make(map[string]Coverage, len(policies))
	for _, p := range policies {
		coverage[p.Name] = Coverage{}
	}
	for _, pod := range pods {
		if Ended(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		if matching := index.selecting(pod); len(matching) > 0 {
			count(coverage, pod, policy.Resolve(pod, matching), namespace, o)
		}
	}
	return coverage
}

// Ended reports whether a pod's containers have all ended for good.
func Ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// compiled are policies whose selectors are parsed once for all pods, by one
// label that they ask for: most pods then meet only the policies that select them.
type compiled struct {
	byLabel map[label][]compiledPolicy
	others  []compiledPolicy
}

type label struct{ key, value string }

type compiledPolicy struct {
	policy   *v1alpha1.DrainPolicy
	selector labels.Selector
}

func compile(policies []*v1alpha1.DrainPolicy) compiled {
	c := compiled{byLabel: map[label][]compiledPolicy{}}
	for _, p := range policies {
		selector, err := metav1.LabelSelectorAsSelector(p.Spec.Selector)
		if err != nil { // validated at admission: what cannot be read selects nothing
			continue
		}
		if l, found := anyLabel(p.Spec.Selector); found {
			c.byLabel[l] = append(c.byLabel[l], compiledPolicy{p, selector})
		} else {
			c.others = append(c.others, compiledPolicy{p, selector})
		}
	}
	return c
}

func anyLabel(s *metav1.LabelSelector) (label, bool) {
	if s != nil {
		for key, value := range s.MatchLabels {
			return label{key, value}, true
		}
	}
	return label{}, false
}

func (c compiled) selecting(pod *corev1.Pod) []*v1alpha1.DrainPolicy {
	var matching []*v1alpha1.DrainPolicy
	consider := func(candidates []compiledPolicy) {
		for _, candidate := range candidates {
			if candidate.selector.Matches(labels.Set(pod.Labels)) {
				matching = append(matching, candidate.policy)
			}
		}
	}
	consider(c.others)
	for key, value := range pod.Labels {
		consider(c.byLabel[label{key, value}])
	}
	return matching
}

// Selects reports whether a selector matches labels, without parsing it when
// it is as plain as most are.
func Selects(s *metav1.LabelSelector, podLabels map[string]string) bool {
	if s == nil {
		return false
	}
	for key, value := range s.MatchLabels {
		if got, found := podLabels[key]; !found || got != value {
			return false
		}
	}
	if len(s.MatchExpressions) == 0 {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(podLabels))
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
	default:
		if reason, excluded := plan.Exclude(pod, namespace, o); excluded {
			c.Skipped = increment(c.Skipped, string(reason))
			return c
		}
		c.Missing++
	}
	c.Covered = append(c.Covered, pod)
	return c
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

func increment[K comparable](m map[K]int32, key K) map[K]int32 {
	if m == nil {
		m = map[K]int32{}
	}
	m[key]++
	return m
}
