package plan

import (
	"cmp"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// settings are a policy's fields with the API's defaults in place, for
// policies that no API server has defaulted.
type settings struct {
	strategy       v1alpha1.HookStrategy
	existing       v1alpha1.ExistingHook
	release        v1alpha1.ReleaseWhen
	propagation    int32
	propagationMax int32
	http           *v1alpha1.HTTPDrainStatus
	tcp            *v1alpha1.TCPDrainStatus
	notify         *v1alpha1.Notify
	grace          graceBounds
}

func settingsOf(p *v1alpha1.DrainPolicy) settings {
	spec := p.Spec
	preStop, grace := spec.PreStop, spec.GracePeriod
	propagation := int32(5)
	if preStop.PropagationSeconds != nil {
		propagation = *preStop.PropagationSeconds
	}
	return settings{
		strategy:       cmp.Or(preStop.Strategy, v1alpha1.StrategyAgent),
		existing:       cmp.Or(preStop.ExistingHook, v1alpha1.ExistingHookKeep),
		release:        cmp.Or(preStop.ReleaseWhen, v1alpha1.ReleaseWhenDrained),
		propagation:    propagation,
		propagationMax: cmp.Or(preStop.PropagationMaxSeconds, 30),
		http:           spec.DrainStatus.HTTP,
		tcp:            spec.DrainStatus.TCP,
		notify:         preStop.Notify,
		grace: graceBounds{
			min:      int64(cmp.Or(grace.MinSeconds, 10)),
			max:      int64(cmp.Or(grace.MaxSeconds, 600)),
			shutdown: seconds(grace.ShutdownSeconds),
			maxHold:  seconds(preStop.MaxHoldSeconds),
			hold:     measuredHold(p),
			learned:  learnedShutdown(p.Status.GracePeriod),
		},
	}
}

// measuredHold is nil as soon as the policy names no source of latency any
// more, whether or not its status has caught up.
func measuredHold(p *v1alpha1.DrainPolicy) *int64 {
	if p.Spec.GracePeriod.Latency == nil || p.Status.GracePeriod == nil {
		return nil
	}
	return seconds(p.Status.GracePeriod.HoldSeconds)
}

func learnedShutdown(status *v1alpha1.GraceStatus) *int64 {
	if status == nil {
		return nil
	}
	return seconds(status.ShutdownSeconds)
}

// seconds widens an optional number of seconds.
func seconds(s *int32) *int64 {
	if s == nil {
		return nil
	}
	wide := int64(*s)
	return &wide
}
