package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/store"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

// gatedPod has the readiness gate, set to a status, or not set when that is empty.
func gatedPod(name string, rotation corev1.ConditionStatus) *testbuild.PodWrapper {
	w := testbuild.MakePod(name).Namespace("shop").Label(v1alpha1.LabelInjected, "true").
		ReadinessGates(v1alpha1.PodInRotation).Container(testbuild.MakeContainer("app"))
	if rotation != "" {
		w.Condition(v1alpha1.PodInRotation, rotation)
	}
	return w
}

func TestIsHeld(t *testing.T) {
	with := func(w *testbuild.PodWrapper, edit func(*corev1.Pod)) *corev1.Pod {
		pod := w.Obj()
		edit(pod)
		return pod
	}
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"in rotation":      {gatedPod("a", "True").Obj(), false},
		"out of rotation":  {gatedPod("a", "False").Obj(), true},
		"never set":        {gatedPod("a", "").Obj(), true},
		"asked for":        {gatedPod("a", "True").Condition(v1alpha1.PodDeletionRequested, "True").Obj(), true},
		"taken back":       {gatedPod("a", "True").Condition(v1alpha1.PodDeletionRequested, "False").Obj(), false},
		"without the gate": {testbuild.MakePod("a").Obj(), false},
		"terminating":      {with(gatedPod("a", "False"), func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.Now()) }), false},
		"failed":           {with(gatedPod("a", ""), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isHeld(tc.pod); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

// byHand takes what is written to pods.
type byHand struct {
	written []string
	err     error
}

func (b *byHand) SetConditions(_ context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error {
	for _, c := range conditions {
		b.written = append(b.written, pod.Name+" "+string(c.Type)+" "+string(c.Status))
	}
	return b.err
}

func (b *byHand) Release(context.Context, *corev1.Pod, drain.Release) error { return b.err }

// releasing is a releaser over these pods, with a clock that runs by itself. look
// is called before each list.
func releasing(t *testing.T, timeout time.Duration, look func(client.Client, int) error, pods ...client.Object) (*releaser, *byHand, *bytes.Buffer) {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	if timeout > time.Second {
		ticker, ctx := time.NewTicker(time.Millisecond), t.Context()
		go func() {
			for ctx.Err() == nil {
				<-ticker.C
				if clock.HasWaiters() {
					clock.Step(time.Second)
				}
			}
		}()
	}
	looks, out, hand := 0, &bytes.Buffer{}, &byHand{}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "drain-operator", UID: "role"}}
	c := fake.NewClientBuilder().WithScheme(newScheme()).WithObjects(append(pods, role)...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			looks++
			if look != nil {
				if err := look(c, looks); err != nil {
					return err
				}
			}
			return c.List(ctx, list, options...)
		},
	}).Build()
	o := releaseOptions{namespace: "system", owner: "drain-operator", timeout: timeout}
	return &releaser{releaseOptions: o, client: c, pods: hand, clock: clock, out: out}, hand, out
}

func TestReleaseOfNothing(t *testing.T) {
	r, hand, out := releasing(t, time.Minute, nil, gatedPod("a", "True").Obj(), testbuild.MakePod("b").Obj())
	start := r.clock.Now()
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := r.clock.Since(start); took < settleFor {
		t.Errorf("took %s: a replica may not have noticed", took)
	}
	if diff := cmp.Diff("no pod is held\n", out.String()); diff != "" || len(hand.written) > 0 {
		t.Errorf("written %v, said (-want +got):\n%s", hand.written, diff)
	}
	var lease coordinationv1.Lease
	if err := r.client.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: store.ReleasingLease}, &lease); err != nil {
		t.Fatal(err)
	}
	if lease.Spec.RenewTime.Time.Before(start.Add(settleFor)) || *lease.Spec.LeaseDurationSeconds != 60 {
		t.Errorf("the lease does not last: %+v", lease.Spec)
	}
	if diff := cmp.Diff([]metav1.OwnerReference{{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "drain-operator", UID: "role"}}, lease.OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

func TestReleaseWaitsForTheOperator(t *testing.T) {
	held := gatedPod("a", "False").Obj()
	var renewals []time.Time
	r, hand, out := releasing(t, time.Minute, nil, held)
	r.client = interceptor.NewClient(r.client.(client.WithWatch), interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, options ...client.UpdateOption) error {
			renewals = append(renewals, obj.(*coordinationv1.Lease).Spec.RenewTime.Time)
			if len(renewals) == 2 { // the operator notices
				if err := c.Delete(ctx, held); err != nil {
					return err
				}
			}
			return c.Update(ctx, obj, options...)
		},
	})
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("1 still held: shop/a\nno pod is held\n", out.String()); diff != "" || len(hand.written) > 0 {
		t.Errorf("written %v, said (-want +got):\n%s", hand.written, diff)
	}
	for i := range renewals[1:] {
		if gap := renewals[i+1].Sub(renewals[i]); gap > releasingFor/2 {
			t.Errorf("the lease was not renewed for %s", gap)
		}
	}
}

// Pods of an operator that does nothing are put into rotation from here.
func TestReleaseByHand(t *testing.T) {
	for name, tc := range map[string]struct {
		refused error
		want    string
	}{
		"done":    {nil, ""},
		"refused": {errors.New("forbidden"), "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			r, hand, out := releasing(t, 50*time.Millisecond, nil, gatedPod("a", "False").Obj(), gatedPod("b", "True").Obj())
			hand.err = tc.refused
			err := r.run(t.Context())
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if diff := cmp.Diff([]string{"a " + v1alpha1.PodInRotation + " True", "a " + v1alpha1.PodDeletionRequested + " False"}, hand.written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if told := strings.Contains(out.String(), "shop/a is in rotation"); told != (tc.refused == nil) {
				t.Errorf("said: %s", out)
			}
		})
	}
}

func TestReleaseTriesAgain(t *testing.T) {
	r, _, out := releasing(t, time.Minute, func(_ client.Client, look int) error {
		if look == 1 {
			return errors.New("the API server is away")
		}
		return nil
	})
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("trying again: listing pods: the API server is away\nno pod is held\n", out.String()); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
}

func TestReleaseOptions(t *testing.T) {
	for name, args := range map[string][]string{
		"no namespace": {"--namespace="},
		"no time":      {"--namespace=a", "--timeout=0s"},
		"an argument":  {"--namespace=a", "please"},
		"a wrong flag": {"--force"},
	} {
		if _, err := parseReleaseOptions(args); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	got, err := parseReleaseOptions([]string{"--namespace=system", "--best-effort"})
	if err != nil {
		t.Fatal(err)
	}
	want := releaseOptions{namespace: "system", owner: "drain-operator", timeout: time.Minute, bestEffort: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(releaseOptions{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
