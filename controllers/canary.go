package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// Dry runs write nothing; the API server authorizes them like any creation.
// +kubebuilder:rbac:groups="",resources=pods,verbs=create
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get

// canaries try injection with dry-run pods, and remember the last result for
// each policy.
type canaries struct {
	client client.Client
	// uncached reads namespaces: one now and then is not worth a watch.
	uncached client.Reader
	clock    clock.PassiveClock
	options  func() plan.Options

	mu   sync.Mutex
	last map[types.UID]condition.Trial
}

// current returns the last trial, after a new one when that is due.
func (c *canaries) current(ctx context.Context, p *v1alpha1.DrainPolicy) (condition.Trial, error) {
	before := c.before(p)
	if c.clock.Now().Before(before.Next(p)) {
		return before, nil
	}
	trial, err := c.try(ctx, p)
	if err != nil {
		return before, fmt.Errorf("creating a dry-run pod: %w", err)
	}
	trial.Generation, trial.Mode, trial.At = p.Generation, p.Spec.Mode, c.clock.Now()
	trial = trial.Follows(before)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[p.UID] = trial
	return trial, nil
}

// before is the last trial, or what the status says of the one that another
// leader made.
func (c *canaries) before(p *v1alpha1.DrainPolicy) condition.Trial {
	c.mu.Lock()
	defer c.mu.Unlock()
	trial, found := c.last[p.UID]
	if !found {
		trial = condition.RestoredTrial(p, c.clock.Now())
		c.last[p.UID] = trial
	}
	return trial
}

func (c *canaries) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.last, uid)
}

// try creates the canary as a dry run. An error is one that says nothing about
// the pod: the API server is not to be had.
func (c *canaries) try(ctx context.Context, p *v1alpha1.DrainPolicy) (condition.Trial, error) {
	canary, err := condition.Canary(p)
	if err != nil { // nothing but a selector that no pod can match
		return condition.Trial{Result: condition.ResultUnsatisfiable}, nil //nolint:nilerr // it is the result
	}
	created := canary.DeepCopy()
	err = c.client.Create(ctx, created, client.DryRunAll)
	switch {
	case refused(err):
		return c.compare(ctx, canary, err)
	case err != nil:
		return condition.Trial{}, err
	}
	trial := condition.Trial{Result: condition.CameBack(p, created)}
	if trial.Result != condition.ResultNotInjected {
		return trial, nil
	}
	return c.explain(ctx, canary, trial)
}

// compare tells whether it is injection that makes the pod refused.
func (c *canaries) compare(ctx context.Context, canary *corev1.Pod, refusal error) (condition.Trial, error) {
	err := c.client.Create(ctx, condition.CanaryWithoutUs(canary), client.DryRunAll)
	switch {
	case err == nil:
		return condition.Trial{Result: condition.ResultAgentRefused, Message: condition.Shorten(refusal.Error())}, nil
	case refused(err):
		return condition.Trial{Result: condition.ResultRefused, Message: condition.Shorten(refusal.Error())}, nil
	default:
		return condition.Trial{}, err
	}
}

// explain looks for reasons not to inject.
func (c *canaries) explain(ctx context.Context, canary *corev1.Pod, trial condition.Trial) (condition.Trial, error) {
	var namespace corev1.Namespace
	if err := c.uncached.Get(ctx, client.ObjectKey{Name: canary.Namespace}, &namespace); client.IgnoreNotFound(err) != nil {
		return trial, err
	}
	trial.InjectionDisabled = namespace.Labels[v1alpha1.LabelInjection] == v1alpha1.InjectionDisabled
	if reason, excluded := plan.Exclude(canary, canary.Namespace, c.options()); excluded {
		trial.Excluded = reason
	}
	return trial, nil
}

// refused reports whether the API server, or a webhook of its, answered that
// it does not take the object; other errors are about the way there.
func refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch code := status.Status().Code; code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	default:
		return code >= 400 && code < 500
	}
}
