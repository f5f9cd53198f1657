package condition

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	// maxGaps is how many deployments back the time between them is looked at:
	// how often somebody deployed last year says nothing.
	maxGaps = 8

	// oldFifths of the time between two deployments make a connection old. None
	// is older than its pod, so one that ends by deployments alone is seldom
	// quite as old as that; one that is told to go at half of that time, give
	// or take a tenth, is well below.
	oldFifths = 4
)

// Deployed is when a workload was deployed: a ReplicaSet or ControllerRevision
// began then. One that is taken into use again keeps its time.
type Deployed struct {
	// PodLabels of its newest pods.
	PodLabels map[string]string
	At        []time.Time
}

// LongLivedSeen reports whether drains met long-lived connections. Only then
// does it matter when workloads are deployed.
func LongLivedSeen(drains []v1alpha1.DrainRecord) bool {
	return slices.ContainsFunc(drains, func(r v1alpha1.DrainRecord) bool { return r.OldestLongLivedSeconds != nil })
}

// connectionsYoungEnough says whether connections end between deployments, too.
// drains are the newest first. deployed are all workloads of the namespace, nil
// while they are not known.
func connectionsYoungEnough(p *v1alpha1.DrainPolicy, drains []v1alpha1.DrainRecord, deployed []Deployed) metav1.Condition {
	set := func(s metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionConnectionsYoungEnough, Status: s, Reason: reason, Message: message}
	}
	if !LongLivedSeen(drains) {
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNoneSeen, "no drain has met a long-lived connection whose age the workload told")
	}
	if deployed == nil {
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNotYetChecked, "the revisions of the namespace's workloads could not be listed yet")
	}
	apart := betweenDeployments(p, deployed)
	if apart == 0 {
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNoDeployments, "no two deployments of a workload are known that this policy selects")
	}
	oldest := oldestConnection(drains, apart)
	if oldest >= apart/5*oldFifths {
		return set(metav1.ConditionFalse, v1alpha1.ReasonAsOldAsDeployments, fmt.Sprintf(
			"long-lived connections were up to %s old when their pod drained, and deployments are %s apart: each meets all that there are. A maximum connection age of %s (MaxConnectionAge) ends them one by one between deployments",
			rough(oldest), rough(apart), rough(apart/2)))
	}
	return set(metav1.ConditionTrue, v1alpha1.ReasonYoungEnough, fmt.Sprintf(
		"long-lived connections were up to %s old when their pod drained, and deployments are %s apart", rough(oldest), rough(apart)))
}

// oldestConnection that the last deployment met: drains that came long before
// the newest one say nothing of what an age that was set since has done.
func oldestConnection(drains []v1alpha1.DrainRecord, apart time.Duration) time.Duration {
	var last time.Time
	var oldest time.Duration
	for _, r := range drains {
		if r.OldestLongLivedSeconds != nil && r.EndedAt.After(last) {
			last = r.EndedAt.Time
		}
	}
	for _, r := range drains {
		if r.OldestLongLivedSeconds != nil && r.EndedAt.After(last.Add(-apart/2)) {
			oldest = max(oldest, time.Duration(*r.OldestLongLivedSeconds)*time.Second)
		}
	}
	return oldest
}

// betweenDeployments is the usual time between two deployments of the policy's
// workloads, 0 where none was deployed twice. Of several workloads the one that
// is deployed most seldom counts: nobody knows whose the connections are, and
// what is old for one may be young for another.
func betweenDeployments(p *v1alpha1.DrainPolicy, deployed []Deployed) time.Duration {
	var longest time.Duration
	for _, d := range deployed {
		if Selects(p.Spec.Selector, d.PodLabels) {
			longest = max(longest, medianGap(d.At))
		}
	}
	return longest
}

// medianGap between the last times, 0 where there is none. Of two in the middle
// it is the shorter one.
func medianGap(at []time.Time) time.Duration {
	sorted := slices.SortedFunc(slices.Values(at), time.Time.Compare)
	sorted = sorted[max(len(sorted)-maxGaps-1, 0):]
	var gaps []time.Duration
	for i := 1; i < len(sorted); i++ {
		gaps = append(gaps, sorted[i].Sub(sorted[i-1]))
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.Sort(gaps)
	return gaps[(len(gaps)-1)/2]
}

// rough renders a time for people: 90 s, 45 min, 7 h, 12 days.
func rough(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d.Round(time.Hour)/time.Hour)
	}
	return fmt.Sprintf("%d days", d.Round(24*time.Hour)/(24*time.Hour))
}
