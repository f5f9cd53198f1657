// Package grace works out terminationGracePeriodSeconds from measurements, and
// says how. It is pure.
package grace

import (
	"time"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

// Facts are all that a recommendation is worked out from.
type Facts struct {
	// Spec of the policy.
	Spec *v1alpha1.DrainPolicySpec
	// Latency over the window; nil when none could be seen now. What was
	// recommended before then stands.
	Latency *latency.Summary
	// Drains that ended, newest first.
	Drains []v1alpha1.DrainRecord
	// OwnSeconds is the longest grace that the owners of the covered pods gave them.
	OwnSeconds int64
	// Was is what the policy's status says now; nil at the first time.
	Was *v1alpha1.GraceStatus
	Now time.Time
}

// History is what was recommended lately, for stabilization. The zero value
// is that of a process that has just begun.
type History struct{}

// Recommend returns what the policy's status should say of the grace, and the
// history with this recommendation in it. AppliedSeconds is left as it was.
func Recommend(f Facts, h History) (v1alpha1.GraceStatus, History) {
	return v1alpha1.GraceStatus{}, h
}

// MinRequests is how many requests a recommendation stands on at least.
const MinRequests = 500

// Noticeable reports whether a person would notice the difference.
func Noticeable(old, now *v1alpha1.GraceStatus) bool { return *old != *now }
