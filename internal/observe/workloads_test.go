package observe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

// A workload is told as long as the window has requests of it.
func TestPodMetricsWorkloads(t *testing.T) {
	f := newFleet(t, "web", "worker", "idle", "long")
	owned := func(name, kind, owner string) {
		pod := f.pods[slices.IndexFunc(f.pods, func(p *corev1.Pod) bool { return p.Name == name })]
		pod.OwnerReferences = build.MakePod(name).Owner("apps/v1", kind, owner).Obj().OwnerReferences
		pod.Labels = map[string]string{"pod-template-hash": "1"}
	}
	owned("web", "ReplicaSet", "web-1")
	owned("worker", "StatefulSet", "worker")
	owned("idle", "ReplicaSet", "idle-1")
	owned("long", "ReplicaSet", strings.Repeat("x", 400))
	o := New(nil, loopback).For(nil)
	round := func(at time.Time, want ...string) {
		t.Helper()
		got, failure := observed(t, o, f.target(at))
		if failure != nil {
			t.Fatal(failure)
		}
		if diff := cmp.Diff(want, got.Workloads); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", at.Sub(now), diff)
		}
	}
	f.page("worker", text("no_histogram 1\n"))
	round(now)
	f.page("web", text(histogramPage(10, 10, 10)))
	f.page("long", text(histogramPage(10, 10, 10)))
	round(now.Add(time.Minute), "Deployment/web")
	f.page("worker", text(histogramPage(10, 10, 10)))
	round(now.Add(3*time.Minute), "Deployment/web", "StatefulSet/worker")
	f.remove("worker")
	round(now.Add(10*time.Minute), "Deployment/web", "StatefulSet/worker")
	round(now.Add(11*time.Minute), "StatefulSet/worker")
	round(now.Add(12*time.Minute+59*time.Second), "StatefulSet/worker")
	round(now.Add(13 * time.Minute))
}

// No more than 64 workloads are told, and a clock that is put back keeps none
// for longer than the window.
func TestWorkloadsAreBounded(t *testing.T) {
	s := workloads{}
	for i := range 70 {
		s.note(plan.Workload{Kind: "Deployment", Name: fmt.Sprintf("web-%02d", i)}, now)
	}
	if got := s.within(now, time.Hour); len(got) != v1alpha1.MaxMeasuredWorkloads || got[63] != "Deployment/web-63" {
		t.Errorf("%d workloads: %v", len(got), got)
	}
	s.within(now.Add(-24*time.Hour), time.Hour)
	if got := s.within(now.Add(-23*time.Hour), time.Hour); got != nil {
		t.Errorf("an hour after the clock was put back: %v", got)
	}
	s.note(plan.Workload{Kind: "Deployment", Name: "web-69"}, now)
	if diff := cmp.Diff([]string{"Deployment/web-69"}, s.within(now, time.Hour)); diff != "" {
		t.Errorf("once there is room (-want +got):\n%s", diff)
	}
}
