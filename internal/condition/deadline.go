package condition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

const (
	// defaultProgressDeadlineSeconds is the API's.
	defaultProgressDeadlineSeconds = 600

	// maxNamed is how many Deployments are named.
	maxNamed = 3
)

// Deadline is how long the rollout of a Deployment may go without progress.
type Deadline struct {
	Deployment string
	Seconds    int32
	// PodLabels and Policy are those of its template: the labels, and the
	// policy that its pods ask for by annotation, empty for any.
	PodLabels map[string]string
	Policy    string
}

// DeadlineOf a Deployment.
func DeadlineOf(d *appsv1.Deployment) Deadline {
	return Deadline{
		Deployment: d.Name,
		Seconds:    ptr.Deref(d.Spec.ProgressDeadlineSeconds, defaultProgressDeadlineSeconds),
		PodLabels:  d.Spec.Template.Labels,
		Policy:     d.Spec.Template.Annotations[v1alpha1.AnnotationPolicy],
	}
}

// holdWithinDeadlines says whether a rollout may wait for a pod for as long as
// it may be held. deadlines are those of all Deployments of the namespace, nil
// while they are not known.
func holdWithinDeadlines(p *v1alpha1.DrainPolicy, deadlines []Deadline) metav1.Condition {
	set := func(s metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionHoldWithinDeadlines, Status: s, Reason: reason, Message: Shorten(message)}
	}
	if !drain.Holds(p) {
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNotHoldingDeletions, "the policy does not hold deletions")
	}
	if deadlines == nil {
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNotYetChecked, "the Deployments of the namespace could not be listed yet")
	}
	bound := int64(drain.MaxHold(p).Seconds())
	var short []Deadline
	for _, d := range deadlines {
		if int64(d.Seconds) <= bound && d.concerns(p) {
			short = append(short, d)
		}
	}
	if len(short) == 0 {
		return set(metav1.ConditionTrue, v1alpha1.ReasonWithinDeadlines, fmt.Sprintf(
			"no Deployment gives its rollout less than the %d s for which a pod may be held", bound))
	}
	return set(metav1.ConditionFalse, v1alpha1.ReasonOverProgressDeadline, fmt.Sprintf(
		"a pod may be held for %d s (gate.maxHoldSeconds), and by then a rollout without progress is reported as failed: progressDeadlineSeconds of %s",
		bound, named(short)))
}

func (d Deadline) concerns(p *v1alpha1.DrainPolicy) bool {
	return (d.Policy == "" || d.Policy == p.Name) && Selects(p.Spec.Selector, d.PodLabels)
}

// named are the shortest, at most three of them: "web is 60, and of 2 more".
func named(short []Deadline) string {
	slices.SortFunc(short, func(a, b Deadline) int {
		return cmp.Or(cmp.Compare(a.Seconds, b.Seconds), strings.Compare(a.Deployment, b.Deployment))
	})
	var parts []string
	for _, d := range short[:min(len(short), maxNamed)] {
		parts = append(parts, fmt.Sprintf("%s is %d", d.Deployment, d.Seconds))
	}
	if more := len(short) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more are as short", more))
	}
	return strings.Join(parts, ", ")
}
