// Package policy says which DrainPolicy applies to a pod, and why. It is pure:
// values in, values out.
package policy

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Why says what decided between two policies that select the same pod.
type Why string

// The rules, in the order in which they decide.
const (
	WhyNamed    Why = "NamedByPod"       // the pod's annotation names the winner
	WhySpecific Why = "MoreRequirements" // the winner's selector asks for more
	WhyOlder    Why = "Older"            // the winner was created earlier
	WhyName     Why = "ByName"           // the winner's name sorts first
)

// Resolution is which policies apply to one pod.
type Resolution struct {
	// Effective is the Enforce policy that the pod gets; nil when none selects it.
	Effective *v1alpha1.DrainPolicy
	// Observed is the Observe policy that looks at the pod; nil when none
	// selects it. It never competes with Effective.
	Observed *v1alpha1.DrainPolicy
	// Lost are the policies that select the pod and do not get it, by name.
	Lost []Lost
	// Trace tells a person how this came about: a line per policy or finding.
	Trace string
}

// Lost is a policy that selects the pod while another of its mode wins it.
// Both are names within the pod's namespace.
type Lost struct {
	Policy string
	Winner string
	Why    Why
}

// Resolve picks among policies, all of the pod's namespace, by the pod's
// labels and annotations. Policies that are being deleted do not count.
func Resolve(pod metav1.Object, policies []*v1alpha1.DrainPolicy) Resolution {
	named := pod.GetAnnotations()[v1alpha1.AnnotationPolicy]
	chosen, trace := selecting(pod, policies)
	if named != "" && !slices.ContainsFunc(chosen, func(p *v1alpha1.DrainPolicy) bool { return p.Name == named }) {
		trace = append(trace, fmt.Sprintf("the pod names %s, which does not select it: ignored", named))
	}
	var enforce, observe []*v1alpha1.DrainPolicy
	for _, p := range chosen {
		if p.Spec.Mode == v1alpha1.ModeObserve {
			observe = append(observe, p)
		} else {
			enforce = append(enforce, p)
		}
	}
	var r Resolution
	r.Effective, r.Lost, trace = contest(enforce, named, nil, append(trace, sayMode("enforced", enforce)...))
	r.Observed, r.Lost, trace = contest(observe, named, r.Lost, append(trace, sayMode("observing", observe)...))
	slices.SortFunc(r.Lost, func(a, b Lost) int { return strings.Compare(a.Policy, b.Policy) })
	r.Trace = strings.Join(trace, "\n")
	return r
}

// selecting returns the policies that select the pod, and a line for each
// that is passed over although somebody may expect it.
func selecting(pod metav1.Object, policies []*v1alpha1.DrainPolicy) (chosen []*v1alpha1.DrainPolicy, trace []string) {
	podLabels := labels.Set(pod.GetLabels())
	for _, p := range policies {
		if !holdsAll(podLabels, p.Spec.Selector) {
			continue
		}
		matches, err := matchesRest(podLabels, p.Spec.Selector)
		switch {
		case err != nil:
			trace = append(trace, fmt.Sprintf("%s: its selector cannot be read: %v", p.Name, err))
		case !matches:
		case !p.DeletionTimestamp.IsZero():
			trace = append(trace, p.Name+": selects the pod, but is being deleted")
		default:
			chosen = append(chosen, p)
		}
	}
	return chosen, trace
}

// holdsAll reports whether a pod has all labels that a selector names by value.
// It spares most policies a selector, which is a hundred times as slow: it
// checks the syntax of each label.
func holdsAll(podLabels labels.Set, selector *metav1.LabelSelector) bool {
	if selector == nil {
		return true
	}
	for key, value := range selector.MatchLabels {
		if has, ok := podLabels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

// matchesRest reports whether a selector selects a pod that has all labels
// that it names by value.
func matchesRest(podLabels labels.Set, selector *metav1.LabelSelector) (bool, error) {
	if selector != nil && len(selector.MatchExpressions) == 0 {
		return true, nil
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(podLabels), err
}

// contest orders the contenders and adds what the others lost by.
func contest(contenders []*v1alpha1.DrainPolicy, named string, lost []Lost, trace []string) (*v1alpha1.DrainPolicy, []Lost, []string) {
	if len(contenders) == 0 {
		return nil, lost, trace
	}
	ordered := slices.SortedFunc(slices.Values(contenders), func(a, b *v1alpha1.DrainPolicy) int {
		order, _ := compare(a, b, named)
		return order
	})
	winner := ordered[0]
	for _, loser := range ordered[1:] {
		_, why := compare(winner, loser, named)
		lost = append(lost, Lost{Policy: loser.Name, Winner: winner.Name, Why: why})
		trace = append(trace, fmt.Sprintf("%s: lost to %s: %s", loser.Name, winner.Name, why))
	}
	return winner, lost, trace
}

// compare is negative when a goes before b, and says which rule decided.
func compare(a, b *v1alpha1.DrainPolicy, named string) (int, Why) {
	switch requirementsA, requirementsB := requirements(a), requirements(b); {
	case named != "" && (a.Name == named) != (b.Name == named):
		return before(a.Name == named), WhyNamed
	case requirementsA != requirementsB:
		return before(requirementsA > requirementsB), WhySpecific
	case !a.CreationTimestamp.Equal(&b.CreationTimestamp):
		return before(a.CreationTimestamp.Before(&b.CreationTimestamp)), WhyOlder
	default:
		return strings.Compare(a.Name, b.Name), WhyName
	}
}

func before(first bool) int {
	if first {
		return -1
	}
	return 1
}

// requirements counts what a selector asks for.
func requirements(p *v1alpha1.DrainPolicy) int {
	if p.Spec.Selector == nil {
		return 0
	}
	return len(p.Spec.Selector.MatchLabels) + len(p.Spec.Selector.MatchExpressions)
}

func sayMode(mode string, contenders []*v1alpha1.DrainPolicy) []string {
	if len(contenders) == 0 {
		return nil
	}
	names := make([]string, len(contenders))
	for i, p := range contenders {
		names[i] = p.Name
	}
	slices.Sort(names)
	return []string{mode + ", selecting the pod: " + strings.Join(names, ", ")}
}
