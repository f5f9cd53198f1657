package controllers

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// lateFor is by how much the pods may come later than the policies that list
// their drains: they come through two watches, and one may have to be opened
// again.
const lateFor = 10 * time.Minute

// ledger is what one replica knows to be counted in a policy's status. It has
// seen every version of the policy in order, since each version lists no more
// new drains than recentDrains has room for.
type ledger struct {
	// policy is the object that it is about: another one may get its name.
	policy types.UID
	// version is the newest resource version seen.
	version string
	// total of all counters in that version.
	total int64
	// published drains by UID, and when they were seen to be: those that could
	// else be counted again. See forget.
	published map[string]time.Time
}

// has reports whether a drain is known to be counted.
func (l *ledger) has(uid string) bool {
	_, published := l.published[uid]
	return published
}

// saw takes note of a version of the policy. It returns the drains that it
// publishes, and how many more it counts that were in no version seen here: a
// watch that had to start over may have skipped some. exists says whether the
// end of a pod is still to come.
func (l *ledger) saw(p *v1alpha1.DrainPolicy, exists func(uid string) bool, now time.Time) (published []string, unseen int64) {
	first := l.policy != p.UID
	if first {
		*l = ledger{policy: p.UID, published: map[string]time.Time{}}
	} else if !newer(p.ResourceVersion, l.version) {
		return nil, 0
	}
	for _, r := range p.Status.RecentDrains {
		if !l.has(r.UID) {
			published = append(published, r.UID)
			l.published[r.UID] = now
		}
	}
	l.forget(p, exists, now)
	total := sum(p.Status.Drains)
	if !first {
		unseen = max(0, total-l.total-int64(len(published)))
	}
	l.total, l.version = total, p.ResourceVersion
	return published, unseen
}

// forget drops the drains that nothing can have counted again: neither does this
// version list them, as ended or as going on, nor is the end of their pod still
// to come. What is kept is a matter of the pods that there are, and not of how
// many there have been.
func (l *ledger) forget(p *v1alpha1.DrainPolicy, exists func(uid string) bool, now time.Time) {
	listed := map[string]bool{}
	for _, r := range p.Status.RecentDrains {
		listed[r.UID] = true
	}
	for _, d := range p.Status.DrainingPods {
		listed[d.UID] = true
	}
	maps.DeleteFunc(l.published, func(uid string, at time.Time) bool {
		return !listed[uid] && !exists(uid) && now.Sub(at) >= lateFor
	})
}

// newer reports whether a is a later resource version than b. One that cannot
// be compared is taken for later: the API server will tell.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

func sum(c v1alpha1.DrainCounts) int64 {
	return c.Drained + c.TimedOut + c.Forced + c.Skipped + c.Unknown
}
