package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
)

func TestTime(t *testing.T) {
	for name, tc := range map[string]struct {
		bounds                 graceBounds
		own, propagation, hook int64
		want                   timing
	}{
		"all defaults": {
			bounds: graceBounds{min: 10, max: 600}, own: 30, propagation: 30,
			want: timing{grace: 90, wanted: 90, bound: 60},
		},
		"shutdown given": {
			bounds: graceBounds{min: 10, max: 600, shutdown: ptr.To[int64](5)}, own: 30, propagation: 30,
			want: timing{grace: 65, wanted: 65, bound: 60},
		},
		"shutdown 0 leaves the kubelet's least": {
			bounds: graceBounds{min: 10, max: 600, shutdown: ptr.To[int64](0)}, own: 30, propagation: 30,
			want: timing{grace: 60, wanted: 60, bound: 58},
		},
		"a sleep hook that stays": {
			bounds: graceBounds{min: 10, max: 600}, own: 30, propagation: 30, hook: 15,
			want: timing{grace: 105, wanted: 105, bound: 75},
		},
		"min raises, and the hold with it": {
			bounds: graceBounds{min: 300, max: 600}, own: 30, propagation: 30,
			want: timing{grace: 300, wanted: 90, bound: 270},
		},
		"max bites: budget and shutdown share what is left": {
			bounds: graceBounds{min: 10, max: 60}, own: 30, propagation: 30,
			want: timing{grace: 60, wanted: 90, bound: 45},
		},
		"max bites less than that: shutdown is never more than the own grace": {
			bounds: graceBounds{min: 10, max: 89}, own: 30, propagation: 30,
			want: timing{grace: 89, wanted: 90, bound: 60},
		},
		"max below propagation: the hold takes all but the kubelet's least": {
			bounds: graceBounds{min: 10, max: 20}, own: 15, propagation: 30,
			want: timing{grace: 20, wanted: 60, bound: 18},
		},
		"max bites and shutdown is given": {
			bounds: graceBounds{min: 10, max: 60, shutdown: ptr.To[int64](20)}, own: 30, propagation: 30,
			want: timing{grace: 60, wanted: 80, bound: 40},
		},
		"own above max stays": {
			bounds: graceBounds{min: 10, max: 600}, own: 3600, propagation: 30,
			want: timing{grace: 3600, wanted: 7230, bound: 1815},
		},
		"own 0": {
			bounds: graceBounds{min: 10, max: 600}, own: 0, propagation: 30,
			want: timing{grace: 30, wanted: 30, bound: 28},
		},
		"a notice": {
			bounds: graceBounds{min: 10, max: 600, notice: 40}, own: 30, propagation: 30,
			want: timing{grace: 130, wanted: 130, bound: 100},
		},
		"a notice, measured with it": {
			bounds: graceBounds{min: 10, max: 600, notice: 40, hold: ptr.To[int64](58), learned: ptr.To[int64](2)}, own: 30, propagation: 30,
			want: timing{grace: 60, wanted: 60, bound: 58},
		},
		"max bites: the notice is not shared": {
			bounds: graceBounds{min: 10, max: 90, notice: 40}, own: 30, propagation: 30,
			want: timing{grace: 90, wanted: 130, bound: 80},
		},
		"maxHold": {
			bounds: graceBounds{min: 10, max: 600, maxHold: ptr.To[int64](45)}, own: 30, propagation: 30,
			want: timing{grace: 90, wanted: 90, bound: 45},
		},
		"maxHold beyond the grace": {
			bounds: graceBounds{min: 10, max: 600, maxHold: ptr.To[int64](600)}, own: 30, propagation: 30,
			want: timing{grace: 90, wanted: 90, bound: 88},
		},
		"measured: shorter than the own grace": {
			bounds: graceBounds{min: 10, max: 600, hold: ptr.To[int64](18), learned: ptr.To[int64](2)}, own: 30, propagation: 30,
			want: timing{grace: 20, wanted: 20, bound: 18},
		},
		"measured, and longer than the own grace": {
			bounds: graceBounds{min: 10, max: 600, hold: ptr.To[int64](198), learned: ptr.To[int64](2)}, own: 30, propagation: 30,
			want: timing{grace: 200, wanted: 200, bound: 198},
		},
		"measured, with a sleep hook that stays": {
			bounds: graceBounds{min: 10, max: 600, hold: ptr.To[int64](18), learned: ptr.To[int64](2)}, own: 30, propagation: 30, hook: 15,
			want: timing{grace: 35, wanted: 35, bound: 33},
		},
		"measured, and min is longer": {
			bounds: graceBounds{min: 25, max: 600, hold: ptr.To[int64](10), learned: ptr.To[int64](5)}, own: 60, propagation: 30,
			want: timing{grace: 25, wanted: 15, bound: 20},
		},
		"measured, and max is shorter: the hold gives way": {
			bounds: graceBounds{min: 10, max: 60, hold: ptr.To[int64](190), learned: ptr.To[int64](10)}, own: 90, propagation: 30,
			want: timing{grace: 60, wanted: 200, bound: 50},
		},
		"measured, and max leaves little beside a long shutdown: they share it": {
			bounds: graceBounds{min: 10, max: 60, hold: ptr.To[int64](190), learned: ptr.To[int64](58)}, own: 90, propagation: 20,
			want: timing{grace: 60, wanted: 248, bound: 40},
		},
		"a given shutdown comes before a learned one": {
			bounds: graceBounds{min: 10, max: 600, hold: ptr.To[int64](18), learned: ptr.To[int64](2), shutdown: ptr.To[int64](7)}, own: 30, propagation: 30,
			want: timing{grace: 25, wanted: 25, bound: 18},
		},
		"measured, but for the shutdown: never below the own grace": {
			bounds: graceBounds{min: 10, max: 60, hold: ptr.To[int64](18)}, own: 90, propagation: 10,
			want: timing{grace: 90, wanted: 108, bound: 50},
		},
		"only the shutdown was learned: never below the own grace": {
			bounds: graceBounds{min: 10, max: 60, learned: ptr.To[int64](2)}, own: 90, propagation: 10,
			want: timing{grace: 90, wanted: 102, bound: 88},
		},
		"only the shutdown was learned": {
			bounds: graceBounds{min: 10, max: 600, learned: ptr.To[int64](2)}, own: 30, propagation: 30,
			want: timing{grace: 62, wanted: 62, bound: 60},
		},
		"next to nothing": {
			bounds: graceBounds{min: 1, max: 1}, own: 1, propagation: 30,
			want: timing{grace: 1, wanted: 32, bound: 1},
		},
		"an absurd own grace does not overflow": {
			bounds: graceBounds{min: 10, max: 600}, own: 1 << 62, propagation: 30,
			want: timing{grace: 1 << 62, wanted: 1<<31 + 30, bound: 1 << 30},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.bounds.time(tc.own, tc.propagation, tc.hook)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(timing{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
