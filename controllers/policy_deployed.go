package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/condition"
)

// +kubebuilder:rbac:groups=apps,resources=replicasets;controllerrevisions,verbs=list

// deployedPeriod is how old what is known of a namespace's deployments may be.
const deployedPeriod = 5 * time.Minute

// revisionKinds are what a workload gets a new one of with each deployment: a
// Deployment a ReplicaSet, a StatefulSet or DaemonSet a ControllerRevision.
var revisionKinds = []string{"ReplicaSet", "ControllerRevision"}

// newDeployed says when workloads were deployed, in namespaces where long-lived
// connections were seen. The cluster itself remembers it, for as many revisions
// as a workload keeps, so no leader has to.
func newDeployed(uncached client.Reader, c clock.PassiveClock) *listings[condition.Deployed] {
	return &listings[condition.Deployed]{
		clock: c, period: deployedPeriod, unknown: "how old connections may get",
		list: func(ctx context.Context, namespace string) ([]condition.Deployed, error) {
			found := revisions{}
			for _, kind := range revisionKinds {
				page := &metav1.PartialObjectMetadataList{}
				page.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind + "List"})
				if err := pages(ctx, uncached, namespace, page, found.add); err != nil {
					return nil, fmt.Errorf("listing %ss: %w", kind, err)
				}
			}
			return found.workloads(), nil
		},
	}
}

// revisions by the workload that owns them.
type revisions map[types.UID]*condition.Deployed

// add takes what a page says. A revision has the labels of its pods.
func (r revisions) add(page *metav1.PartialObjectMetadataList) {
	for i := range page.Items {
		m := &page.Items[i]
		owner := metav1.GetControllerOfNoCopy(m)
		if owner == nil {
			continue
		}
		d := r[owner.UID]
		if d == nil {
			d = &condition.Deployed{}
			r[owner.UID] = d
		}
		if !slices.ContainsFunc(d.At, m.CreationTimestamp.Time.Before) { // the newest so far
			d.PodLabels = m.Labels
		}
		d.At = append(d.At, m.CreationTimestamp.Time)
	}
}

func (r revisions) workloads() []condition.Deployed {
	all := make([]condition.Deployed, 0, len(r))
	for _, d := range r {
		all = append(all, *d)
	}
	return all
}
