package controllers

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=list

// deadlinesPeriod is how old what is known of a namespace's Deployments may be.
const deadlinesPeriod = 5 * time.Minute

// newDeadlines are those of the Deployments in namespaces with a policy that
// holds deletions.
func newDeadlines(uncached client.Reader, c clock.PassiveClock) *listings[condition.Deadline] {
	return &listings[condition.Deadline]{
		clock: c, period: deadlinesPeriod, only: drain.Holds, unknown: "whether rollouts wait for held pods",
		list: func(ctx context.Context, namespace string) ([]condition.Deadline, error) {
			found := []condition.Deadline{}
			err := pages(ctx, uncached, namespace, &appsv1.DeploymentList{}, func(page *appsv1.DeploymentList) {
				for i := range page.Items {
					found = append(found, condition.DeadlineOf(&page.Items[i]))
				}
			})
			if err != nil {
				return nil, fmt.Errorf("listing Deployments: %w", err)
			}
			return found, nil
		},
	}
}

// pages lists a namespace, or what is in none, page by page.
func pages[L client.ObjectList](ctx context.Context, uncached client.Reader, namespace string, page L, took func(L)) error {
	for {
		err := uncached.List(ctx, page, client.InNamespace(namespace), client.Limit(listedAtOnce), client.Continue(page.GetContinue()))
		if err != nil {
			return err
		}
		took(page)
		if page.GetContinue() == "" {
			return nil
		}
	}
}
