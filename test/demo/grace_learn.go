package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/load"
)

// advice is what the operator says of the grace, as seen so far.
type advice struct {
	mu sync.Mutex
	// grace is each recommendation once, in the order in which it came up, with
	// what was said of it last.
	grace    []v1alpha1.GraceStatus
	latest   *v1alpha1.GraceStatus
	observed string
	why      string
}

// take notes what a policy says.
func (a *advice) take(p *v1alpha1.DrainPolicy) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionLatencyObserved); c != nil {
		a.observed, a.why = string(c.Status), c.Reason
	}
	a.latest = p.Status.GracePeriod
	if a.latest == nil {
		return
	}
	known := func(s v1alpha1.GraceStatus) bool {
		return s.RecommendedSeconds == a.latest.RecommendedSeconds && (s.HoldSeconds == nil) == (a.latest.HoldSeconds == nil)
	}
	if i := slices.IndexFunc(a.grace, known); i >= 0 {
		a.grace[i] = *a.latest
		return
	}
	a.grace = append(a.grace, *a.latest)
}

// measured is the grace that is recommended because of measurements, 0 if none is.
func (a *advice) measured() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.observed != "True" || a.latest == nil || a.latest.HoldSeconds == nil {
		return 0
	}
	return int64(a.latest.RecommendedSeconds)
}

// words are what to show of it while waiting; none before anything was said.
func (a *advice) words() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.latest == nil || a.why == "":
		return ""
	case a.observed != "True":
		return a.why
	}
	return fmt.Sprintf("%d s recommended", a.latest.RecommendedSeconds)
}

// all is everything that was recommended so far, and what LatencyObserved is.
func (a *advice) all() (grace []v1alpha1.GraceStatus, observed string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.grace), a.observed
}

// learn serves until the operator knows the latency and all pods have the grace
// that it recommends.
func (r *graceRun) learn(ctx context.Context) error {
	start := time.Now()
	if err := r.begin(ctx, r.cfg.Load); err != nil {
		return err
	}
	if err := r.waitMeasured(ctx, start); err != nil {
		return err
	}
	r.cell.Learning.Served = time.Since(start)
	for range r.cfg.Tunings {
		if _, err := r.restart(ctx); err != nil {
			return err
		}
		r.cell.Learning.Restarts++
		if err := r.takeAdvice(ctx); err != nil {
			return err
		}
		if grace := r.advice.measured(); grace > 0 && r.allHave(grace) {
			break
		}
	}
	res, err := r.loader.Finish(ctx)
	r.cell.Learning.Took, r.cell.Learning.Load, r.cell.Learning.P99 = time.Since(start), res.Tally(), p99(res.Records)
	return err
}

// p99 is that of the latencies of the answered requests, 0 where there are none.
func p99(records []load.Record) time.Duration {
	var latencies []time.Duration
	for _, r := range records {
		if r.Cause == load.Answered {
			latencies = append(latencies, r.Latency)
		}
	}
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	return latencies[(len(latencies)-1)*99/100]
}

// waitMeasured waits until the operator recommends a grace from measurements.
func (r *graceRun) waitMeasured(ctx context.Context, start time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.LearnTimeout)
	defer cancel()
	for {
		if err := r.takeAdvice(ctx); err != nil {
			return err
		}
		if r.advice.measured() > 0 && time.Since(start) >= r.cfg.LearnFor {
			return nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return errors.Join(err, fmt.Errorf("the operator did not see the latency within %s: %s", r.cfg.LearnTimeout, r.advice.words()))
		}
	}
}

// takeAdvice notes what the policy says now.
func (r *graceRun) takeAdvice(ctx context.Context) error {
	p, err := r.cluster.policy(ctx, r.manifests.Policy)
	if err != nil {
		return err
	}
	r.advice.take(p)
	return nil
}

// follow notes what the policy says until ctx ends: pods get what it says when
// they are created.
func (r *graceRun) follow(ctx context.Context) {
	for pause(ctx, time.Second/2) == nil {
		_ = r.takeAdvice(ctx) // whoever needs an answer asks for it
	}
}

// allHave says whether all pods that are there to stay have a grace.
func (r *graceRun) allHave(seconds int64) bool {
	for _, l := range r.pods.lives() {
		if l.Deleted.IsZero() && l.Grace != seconds {
			return false
		}
	}
	return true
}
