package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=list

const (
	// deadlinesPeriod is how old what is known of a namespace's Deployments
	// may be. To watch them all would cost memory for a rare question.
	deadlinesPeriod = 5 * time.Minute

	// deadlinesFresh is how old it may be after an edit of a policy: many
	// policies of one namespace are visited at the same time.
	deadlinesFresh = 5 * time.Second

	// deploymentsAtOnce is how many are in memory at once.
	deploymentsAtOnce = 500
)

// deadlines of the Deployments in namespaces with a policy that holds deletions.
type deadlines struct {
	uncached client.Reader
	clock    clock.PassiveClock

	mu     sync.Mutex
	listed map[string]*listed
}

// listed are the deadlines of one namespace.
type listed struct {
	mu        sync.Mutex
	at        time.Time
	deadlines []condition.Deadline
	// edits are the generations of the policies that have seen them.
	edits map[types.UID]int64
}

func newDeadlines(uncached client.Reader, c clock.PassiveClock) *deadlines {
	return &deadlines{uncached: uncached, clock: c, listed: map[string]*listed{}}
}

// of a policy's namespace, nil where it does not hold deletions and while they
// cannot be listed: the rest of its status does not wait for that.
func (d *deadlines) of(ctx context.Context, p *v1alpha1.DrainPolicy) []condition.Deadline {
	if !drain.Holds(p) {
		return nil
	}
	l := d.in(p.Namespace)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := d.clock.Now()
	age := now.Sub(l.at)
	if l.edits[p.UID] != p.Generation && age >= deadlinesFresh || age >= deadlinesPeriod {
		found, err := d.list(ctx, p.Namespace)
		if err != nil {
			logf.FromContext(ctx).Error(err, "cannot tell whether rollouts wait for held pods", "namespace", p.Namespace)
			return l.deadlines
		}
		l.at, l.deadlines, l.edits = now, found, map[types.UID]int64{}
	}
	l.edits[p.UID] = p.Generation
	return l.deadlines
}

func (d *deadlines) in(namespace string) *listed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.listed) > 1024 { // some are gone
		clear(d.listed)
	}
	if d.listed[namespace] == nil {
		d.listed[namespace] = &listed{}
	}
	return d.listed[namespace]
}

// list never returns nil without an error.
func (d *deadlines) list(ctx context.Context, namespace string) ([]condition.Deadline, error) {
	found := []condition.Deadline{}
	page := &appsv1.DeploymentList{}
	for {
		err := d.uncached.List(ctx, page, client.InNamespace(namespace), client.Limit(deploymentsAtOnce), client.Continue(page.Continue))
		if err != nil {
			return nil, fmt.Errorf("listing Deployments: %w", err)
		}
		for i := range page.Items {
			found = append(found, condition.DeadlineOf(&page.Items[i]))
		}
		if page.Continue == "" {
			return found, nil
		}
	}
}
