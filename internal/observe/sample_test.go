package observe

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func keys(pods []*corev1.Pod) map[string]bool {
	m := map[string]bool{}
	for _, p := range pods {
		m[p.Name] = true
	}
	return m
}

func changed(before, after []*corev1.Pod) (n int) {
	was := keys(before)
	for _, p := range after {
		if !was[p.Name] {
			n++
		}
	}
	return n
}

func TestSampleSticks(t *testing.T) {
	var s sample
	pods := named(30, "p")
	first := s.choose(pods, 10, now)
	if len(keys(first)) != 10 {
		t.Fatalf("%d pods were chosen", len(keys(first)))
	}
	for minute := 1; minute < 5; minute++ {
		if diff := cmp.Diff(keys(first), keys(s.choose(pods, 10, now.Add(time.Duration(minute)*time.Minute)))); diff != "" {
			t.Errorf("minute %d (-was +got):\n%s", minute, diff)
		}
	}
	moved := s.choose(pods, 10, now.Add(rotateAfter))
	if n := changed(first, moved); n != 1 {
		t.Errorf("%d pods changed after %v, want 1", n, rotateAfter)
	}
}

// Each pod gets its turn, and none twice before the others had theirs.
func TestSampleGoesRound(t *testing.T) {
	var s sample
	pods := named(30, "p")
	seen := map[string]bool{}
	for turn := range 21 {
		for name := range keys(s.choose(pods, 10, now.Add(time.Duration(turn)*rotateAfter))) {
			seen[name] = true
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d of 30 pods were looked at in 21 turns", len(seen))
	}
}

func TestSampleOfFewPods(t *testing.T) {
	var s sample
	pods := named(10, "p")
	for turn := range 5 {
		if n := len(s.choose(pods, 10, now.Add(time.Duration(turn)*rotateAfter))); n != 10 {
			t.Errorf("%d pods were chosen", n)
		}
	}
	if n := len(s.choose(pods[:3], 10, now)); n != 3 {
		t.Errorf("%d of 3 pods were chosen", n)
	}
	if n := len(s.choose(nil, 10, now)); n != 0 {
		t.Errorf("%d of no pods were chosen", n)
	}
}

// Pods that go are replaced at once; those that keep silent, where others wait.
func TestSampleReplaces(t *testing.T) {
	var s sample
	pods := named(12, "p")
	first := s.choose(pods, 10, now)
	gone := first[0].Name
	var left []*corev1.Pod
	for _, p := range pods {
		if p.Name != gone {
			left = append(left, p)
		}
	}
	second := s.choose(left, 10, now)
	if len(second) != 10 || keys(second)[gone] {
		t.Errorf("%d pods were chosen, the one that is gone among them: %v", len(second), keys(second)[gone])
	}
	silent := second[0]
	for range maxSilence {
		s.answered(podKey(silent), false)
	}
	third := s.choose(left, 10, now)
	if len(third) != 10 || keys(third)[silent.Name] {
		t.Errorf("%d pods were chosen, the silent one among them: %v", len(third), keys(third)[silent.Name])
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			pods := named(n, "checkout-7d4b9d8c5f")
			var s sample
			for b.Loop() {
				s.choose(pods, 10, now)
			}
		})
	}
}
