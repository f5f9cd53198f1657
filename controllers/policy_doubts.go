package controllers

import (
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// doubts are drains of which nobody knows whether they are published: their
// update ended in an error that does not tell. A later version of the policy does.
type doubts struct {
	mu   sync.Mutex
	open map[types.UID]doubt
}

type doubt struct {
	// version that the update would have replaced.
	version string
	records []v1alpha1.DrainRecord
}

func (d *doubts) add(p *v1alpha1.DrainPolicy, records []v1alpha1.DrainRecord, err error) {
	if len(records) == 0 || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[p.UID] = doubt{version: p.ResourceVersion, records: records}
}

// settle returns the records that turn out to be published. The others are
// still pending.
func (d *doubts) settle(p *v1alpha1.DrainPolicy) []v1alpha1.DrainRecord {
	d.mu.Lock()
	defer d.mu.Unlock()
	open, found := d.open[p.UID]
	if !found || !newer(p.ResourceVersion, open.version) {
		return nil
	}
	delete(d.open, p.UID)
	return slices.DeleteFunc(slices.Clone(open.records), func(r v1alpha1.DrainRecord) bool {
		return !slices.ContainsFunc(p.Status.RecentDrains, func(published v1alpha1.DrainRecord) bool { return published.UID == r.UID })
	})
}

func (d *doubts) forget(policy types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, policy)
}
