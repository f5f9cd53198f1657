package policy

import "github.com/drain-operator/drain-operator/api/v1alpha1"

// HoldsDeletions reports whether a policy holds deletions of its pods: not
// while it only observes, is being deleted, or is nil.
func HoldsDeletions(p *v1alpha1.DrainPolicy) bool {
	return p != nil && p.DeletionTimestamp == nil && p.Spec.Mode != v1alpha1.ModeObserve &&
		p.Spec.Gate.Hold == v1alpha1.HoldDeletion
}
