package controllers

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// remembered is how many published drains of a policy a replica remembers, in
// case it learns of a pod's end only after the leader has published it.
const remembered = 4096

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
	// published drains by UID, and in the order in which they were seen.
	published map[string]bool
	order     []string
}

// saw takes note of a version of the policy. It returns the drains that it
// publishes, and how many more it counts that were in no version seen here: a
// watch that had to start over may have skipped some.
func (l *ledger) saw(p *v1alpha1.DrainPolicy) (published []string, unseen int64) {
	first := l.policy != p.UID
	if first {
		*l = ledger{policy: p.UID, published: map[string]bool{}}
	} else if !newer(p.ResourceVersion, l.version) {
		return nil, 0
	}
	for _, r := range p.Status.RecentDrains {
		if !l.published[r.UID] {
			published = append(published, r.UID)
		}
	}
	l.remember(published)
	total := sum(p.Status.Drains)
	if !first {
		unseen = max(0, total-l.total-int64(len(published)))
	}
	l.total, l.version = total, p.ResourceVersion
	return published, unseen
}

func (l *ledger) remember(uids []string) {
	for _, uid := range slices.Backward(uids) { // newest first in the status
		l.published[uid] = true
		l.order = append(l.order, uid)
	}
	for len(l.order) > remembered {
		delete(l.published, l.order[0])
		l.order = l.order[1:]
	}
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
