package grace

import (
	"cmp"
	"time"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	// stepSeconds is the grid of recommendations.
	stepSeconds = 5

	// mostSeconds is the most that a policy can allow.
	mostSeconds = 3600

	// maxReasonableSeconds keeps sums in bounds: an owner may write any int64.
	maxReasonableSeconds = 1 << 30

	// maxReasonableLatency keeps products in bounds: whoever reports a latency
	// may report any.
	maxReasonableLatency = 1_000_000 * time.Second
)

// settings are a policy's fields with the API's defaults in place, for
// policies that no API server has defaulted.
type settings struct {
	source         bool // of latency
	pages          bool // and that is the pods' own metrics
	percentile     string
	margin         int64 // percent
	min, max       int64 // seconds
	propagationMax int64 // seconds
	notice         int64 // seconds, of longLived.policy CloseAfter
	shutdown       *int64
	window         time.Duration
	stabilization  time.Duration
}

func settingsOf(spec *v1alpha1.DrainPolicySpec) settings {
	g := spec.GracePeriod
	set := settings{
		source:         g.Latency != nil,
		pages:          g.Latency != nil && g.Latency.PodMetrics != nil,
		percentile:     cmp.Or(g.Percentile, "99"),
		margin:         int64(or(g.MarginPercent, 50)),
		min:            int64(cmp.Or(g.MinSeconds, 10)),
		max:            int64(cmp.Or(g.MaxSeconds, 600)),
		propagationMax: int64(cmp.Or(spec.PreStop.PropagationMaxSeconds, 30)),
		window:         seconds(int64(cmp.Or(g.WindowSeconds, 3600))),
		stabilization:  seconds(int64(or(g.StabilizationWindowSeconds, 3600))),
	}
	if spec.LongLived.Policy == v1alpha1.LongLivedCloseAfter {
		set.notice = int64(cmp.Or(spec.LongLived.NoticeSeconds, v1alpha1.DefaultNoticeSeconds))
	}
	if g.ShutdownSeconds != nil {
		given := int64(*g.ShutdownSeconds)
		set.shutdown = &given
	}
	return set
}

// clamp bounds a grace. Seconds.
func (s settings) clamp(grace int64) int64 {
	return min(max(grace, s.min), s.max)
}

func or(p *int32, otherwise int32) int32 {
	if p == nil {
		return otherwise
	}
	return *p
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// ceil is how many units a duration takes, the last one perhaps in part.
func ceil(d, unit time.Duration) int64 {
	return int64((d + unit - 1) / unit)
}

// onGrid rounds a duration up to whole steps. Seconds.
func onGrid(d time.Duration) int64 {
	return ceil(d, stepSeconds*time.Second) * stepSeconds
}

// bounded keeps a reported duration within reason.
func bounded(d time.Duration) time.Duration {
	return min(max(d, 0), maxReasonableLatency)
}
