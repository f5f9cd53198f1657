package probe

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// outSince takes a pod out of rotation.
func outSince(pod *corev1.Pod, at time.Time) {
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(at),
	}}
}

// What is read from a pod whose long-lived connections stay, by its policy and
// by how long ago it was taken out of rotation (propagation 5 s, notice 10 s).
func TestAskLongLived(t *testing.T) {
	pod := serve(t, says(`{"version":1,"inFlight":0,"longLived":12}`))
	const wait, closeAfter = v1alpha1.LongLivedWait, v1alpha1.LongLivedCloseAfter
	tests := map[string]struct {
		policy v1alpha1.LongLivedPolicy
		out    time.Duration // 0: in rotation
		want   drainstatus.State
	}{
		"not given":                  {"", time.Hour, drainstatus.Drained},
		"Exclude":                    {v1alpha1.LongLivedExclude, time.Hour, drainstatus.Drained},
		"Wait":                       {wait, time.Hour, drainstatus.Busy},
		"CloseAfter, in rotation":    {closeAfter, 0, drainstatus.Busy},
		"CloseAfter, just told":      {closeAfter, time.Second, drainstatus.Busy},
		"CloseAfter, notice on":      {closeAfter, 12 * time.Second, drainstatus.Busy},
		"CloseAfter, notice is over": {closeAfter, 17 * time.Second, drainstatus.Drained},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy := asking(nil)
			policy.Spec.LongLived = v1alpha1.LongLived{Policy: tc.policy, NoticeSeconds: 10}
			pod := pod.DeepCopy()
			if tc.out > 0 {
				outSince(pod, time.Now().Add(-tc.out))
			}
			want := drainstatus.Reading{State: tc.want, LongLived: 12, Reason: "0 in flight, 12 long-lived"}
			if diff := cmp.Diff(want, New(Options{Loopback: true}).Ask(t.Context(), pod, policy)); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
		})
	}
}

// A watcher sees by itself that the notice is over.
func TestWatcherSeesNoticeEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{}
		pod := n.pod(t, "10.1.0.1:80", says(`{"version":1,"inFlight":0,"longLived":12}`))
		policy := asking(nil)
		policy.Spec.LongLived = v1alpha1.LongLived{Policy: v1alpha1.LongLivedCloseAfter, NoticeSeconds: 10}
		outSince(pod, time.Now().Add(-12*time.Second))
		const left = 4 * time.Second // of 5 s, 10 s, and the second that conditions are rounded to
		a := n.watch(t, Options{})
		a.watcher.Follow(pod, policy)
		begin := time.Now()
		if first := a.next(t, pod); first.Last.State != drainstatus.Busy {
			t.Fatalf("first seen: %+v", first)
		}
		seen := a.next(t, pod)
		for seen.Drained < 2 {
			seen = a.next(t, pod)
		}
		const period = time.Second
		if since := seen.DrainedSince.Sub(begin); since < left || since > left+period {
			t.Errorf("drained after %v, the notice is over after %v", since, left)
		}
		if took := time.Since(begin); took > left+period+confirm {
			t.Errorf("seen twice after %v", took)
		}
	})
}

// A workload that takes no field that it does not know is told all the same.
func TestTellWithoutNotice(t *testing.T) {
	policy := asking(nil)
	policy.Spec.LongLived.Policy = v1alpha1.LongLivedWait
	for code, want := range map[int][]string{
		http.StatusBadRequest:          {`{"draining":true,"notice":{"afterSeconds":5,"seconds":10}}`, `{"draining":true}`},
		http.StatusUnprocessableEntity: {`{"draining":true,"notice":{"afterSeconds":5,"seconds":10}}`, `{"draining":true}`},
		http.StatusNoContent:           {`{"draining":true,"notice":{"afterSeconds":5,"seconds":10}}`},
	} {
		endpoint := &takes{codes: []int{code}}
		if err := New(Options{Loopback: true}).Tell(t.Context(), serve(t, endpoint.serve), policy, true); err != nil {
			t.Errorf("%d: %v", code, err)
		}
		var bodies []string
		for _, n := range endpoint.came {
			bodies = append(bodies, n.Body)
		}
		if diff := cmp.Diff(want, bodies); diff != "" {
			t.Errorf("%d: told (-want +got):\n%s", code, diff)
		}
	}
}

func TestTellNotice(t *testing.T) {
	tests := map[string]struct {
		policy   v1alpha1.LongLivedPolicy
		draining bool
		want     string
	}{
		"Exclude":             {v1alpha1.LongLivedExclude, true, `{"draining":true}`},
		"Wait":                {v1alpha1.LongLivedWait, true, `{"draining":true,"notice":{"afterSeconds":5,"seconds":20}}`},
		"CloseAfter":          {v1alpha1.LongLivedCloseAfter, true, `{"draining":true,"notice":{"afterSeconds":5,"seconds":20}}`},
		"CloseAfter, no more": {v1alpha1.LongLivedCloseAfter, false, `{"draining":false}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			endpoint := &takes{}
			policy := asking(nil)
			policy.Spec.LongLived = v1alpha1.LongLived{Policy: tc.policy, NoticeSeconds: 20}
			if err := New(Options{Loopback: true}).Tell(t.Context(), serve(t, endpoint.serve), policy, tc.draining); err != nil {
				t.Fatal(err)
			}
			if len(endpoint.came) != 1 || endpoint.came[0].Body != tc.want {
				t.Errorf("told %+v, want %s", endpoint.came, tc.want)
			}
		})
	}
}
