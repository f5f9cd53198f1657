package controllers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

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
	last map[types.UID]attempt
}

// attempt is the last trial, and when the next may be made: later than it is
// due after the API server could not be asked.
type attempt struct {
	trial     condition.Trial
	notBefore time.Time
}

const (
	// patience is how long a dry run may take: drains wait to be published.
	patience = 10 * time.Second
	// pause is how long the canary rests when the API server could not be asked.
	pause = 10 * time.Second
)

// current returns the last trial, after a new one when that is due, and when
// to come back. Where the API server could not be asked the last one stands:
// the rest of a status does not wait for it.
func (c *canaries) current(ctx context.Context, p *v1alpha1.DrainPolicy) (condition.Trial, time.Time) {
	before := c.before(p)
	now := c.clock.Now()
	if due := before.due(p); now.Before(due) {
		return before.trial, due
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	next := attempt{trial: before.trial}
	if trial, err := c.try(asking, p); err != nil {
		logf.FromContext(ctx).Error(err, "could not create a dry-run pod")
		next.notBefore = c.clock.Now().Add(pause)
	} else {
		trial.Generation, trial.Mode, trial.At = p.Generation, p.Spec.Mode, c.clock.Now()
		next.trial = trial.Follows(before.trial)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[p.UID] = next
	return next.trial, next.due(p)
}

func (a attempt) due(p *v1alpha1.DrainPolicy) time.Time {
	if due := a.trial.Next(p); due.After(a.notBefore) {
		return due
	}
	return a.notBefore
}

// before is the last attempt, or what the status says of the one that another
// leader made.
func (c *canaries) before(p *v1alpha1.DrainPolicy) attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, found := c.last[p.UID]
	if !found {
		before = attempt{trial: condition.RestoredTrial(p, c.clock.Now())}
		c.last[p.UID] = before
	}
	return before
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
