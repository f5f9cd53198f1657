package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/front"
)

// asked wraps the world's client: it counts lists by kind, knows as many
// TargetGroupBindings of the controller's as are given, where their CRD is
// installed, and fails as it is told to.
type asked struct {
	lists    map[string]int
	bindings []unstructured.Unstructured
	crd      bool
	failing  map[string]error
}

func (a *asked) wrap(w *world) client.Reader {
	a.lists, a.failing = map[string]int{}, map[string]error{}
	return interceptor.NewClient(w.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			u, isUnstructured := list.(*unstructured.UnstructuredList)
			kind := fmt.Sprintf("%T", list)
			if isUnstructured {
				kind = u.GroupVersionKind().Group
			}
			a.lists[kind]++
			switch {
			case a.failing[kind] != nil:
				return a.failing[kind]
			case !isUnstructured:
				return c.List(ctx, list, o...)
			case !a.crd || kind != front.BindingKinds()[0].Group:
				return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: kind, Kind: "TargetGroupBinding"}}
			}
			u.Items = a.bindings
			return nil
		},
	})
}

const (
	services  = "*v1.ServiceList"
	ingresses = "*v1.IngressList"
	elbv2     = "elbv2.k8s.aws"
	autoMode  = "eks.amazonaws.com"
)

func webService(annotations map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Annotations: annotations},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func TestNothingIsInFrontOfANamespaceWithoutServices(t *testing.T) {
	w, a := newWorld(t), asked{}
	fronts := newFronts(a.wrap(w), w.clock)
	if got := fronts.of(t.Context(), webPolicy()); got == nil || len(got) != 0 {
		t.Errorf("got %+v, want none, and known", got)
	}
	if diff := cmp.Diff(map[string]int{services: 1}, a.lists); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
}

func TestFrontsAreListedNowAndThen(t *testing.T) {
	w, a := newWorld(t, webService(map[string]string{"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"})), asked{}
	fronts := newFronts(a.wrap(w), w.clock)
	look := func(after time.Duration, names []string, lists map[string]int) {
		t.Helper()
		w.clock.SetTime(w.clock.Now().Add(after))
		var got []string
		for _, f := range fronts.of(t.Context(), webPolicy()) {
			got = append(got, string(f.Kind)+" "+f.Name)
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("fronts (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(lists, a.lists); diff != "" {
			t.Errorf("lists (-want +got):\n%s", diff)
		}
		clear(a.lists)
	}
	nlb := []string{"Service web"}
	a.failing[services] = errors.New("too busy")
	look(0, nil, map[string]int{services: 1})
	clear(a.failing)
	look(0, nlb, map[string]int{services: 1, ingresses: 1, elbv2: 1, autoMode: 1})
	look(frontsPeriod-time.Second, nlb, map[string]int{})
	a.failing[ingresses] = errors.New("too busy") // what was known stands
	look(time.Second, nlb, map[string]int{services: 1, ingresses: 1})
	clear(a.failing)

	a.crd = true // installed meanwhile
	binding := unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"serviceRef": map[string]any{"name": "web"}}}}
	binding.SetName("mine")
	a.bindings = append(a.bindings, binding)
	both := []string{"Service web", "TargetGroupBinding mine"}
	look(0, both, map[string]int{services: 1, ingresses: 1, elbv2: 1, autoMode: 1})
	look(frontsPeriod, both, map[string]int{services: 1, ingresses: 1, elbv2: 1, autoMode: 1})
	a.failing[elbv2] = errors.New("too busy")
	look(frontsPeriod, both, map[string]int{services: 1, ingresses: 1, elbv2: 1})
	clear(a.failing)
	a.crd = false // and uninstalled
	look(0, nlb, map[string]int{services: 1, ingresses: 1, elbv2: 1, autoMode: 1})
}

// The CRDs that are not there are asked for once in a period, however many
// namespaces there are, and so are IngressClasses.
func TestFrontsOfManyNamespaces(t *testing.T) {
	const namespaces = 20
	var objects []client.Object
	for i := range namespaces {
		s, ingress := webService(nil), &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
		s.Namespace, ingress.Namespace = fmt.Sprint("n", i), fmt.Sprint("n", i)
		ingress.Spec = networkingv1.IngressSpec{
			IngressClassName: ptr.To("outside"),
			DefaultBackend:   &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web"}},
		}
		objects = append(objects, s, ingress)
	}
	objects = append(objects, &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "outside"}, Spec: networkingv1.IngressClassSpec{Controller: "ingress.k8s.aws/alb"},
	})
	w, a := newWorld(t, objects...), asked{}
	fronts := newFronts(a.wrap(w), w.clock)
	for i := range namespaces {
		p := webPolicy()
		p.Namespace = fmt.Sprint("n", i)
		if got := fronts.of(t.Context(), p); len(got) != 1 || got[0].Name != "shop" {
			t.Errorf("in front of n%d: %+v", i, got)
		}
	}
	want := map[string]int{services: namespaces, ingresses: namespaces, "*v1.IngressClassList": 1, elbv2: 1, autoMode: 1}
	if diff := cmp.Diff(want, a.lists); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
}

func TestAFrontIsShownAndWrittenOnce(t *testing.T) {
	w := newWorld(t, webPolicy(), pod(1), webService(map[string]string{
		"service.beta.kubernetes.io/aws-load-balancer-type":                    "nlb-ip",
		"service.beta.kubernetes.io/aws-load-balancer-target-group-attributes": "deregistration_delay.timeout_seconds=20",
	}))
	w.reconciler.fronts = newFronts((&asked{}).wrap(w), w.clock)
	w.mustLook()
	want := []v1alpha1.Front{{
		Kind: v1alpha1.FrontService, Name: "web", Service: "web", LoadBalancer: v1alpha1.FrontNLB, Targets: v1alpha1.FrontTargetsPods,
		DeregistrationDelaySeconds: 20, Declared: true,
	}}
	status := w.policy().Status
	c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionFrontsCovered)
	if diff := cmp.Diff(want, status.Fronts); diff != "" || c == nil || c.Reason != v1alpha1.ReasonPropagationTooShort {
		t.Errorf("%+v; fronts (-want +got):\n%s", c, diff)
	}
	for range 5 {
		w.clock.SetTime(w.clock.Now().Add(condition.TrialPeriod))
		w.mustLook()
	}
	if len(w.statuses) != 1 {
		t.Errorf("%d statuses were written, want 1", len(w.statuses))
	}
}

// revision is one of a workload's, created at a time.
func revision(name, owner string, at time.Time) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, CreationTimestamp: metav1.NewTime(at), Labels: map[string]string{"app": owner, "revision": name},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: owner, UID: types.UID(owner), Controller: ptr.To(true)}},
	}}
}

func TestDeployed(t *testing.T) {
	set := &appsv1.ControllerRevision{ObjectMeta: revision("db-1", "db", start).ObjectMeta}
	bare := revision("bare", "bare", start)
	bare.OwnerReferences = nil
	w := newWorld(t, revision("web-1", "web", start.Add(-time.Hour)), revision("web-3", "web", start), revision("web-2", "web", start.Add(-time.Minute)), set, bare)
	got := newDeployed(w.client, w.clock).of(t.Context(), webPolicy())
	want := []condition.Deployed{
		{PodLabels: map[string]string{"app": "db", "revision": "db-1"}, At: []time.Time{start}},
		{PodLabels: map[string]string{"app": "web", "revision": "web-3"}, At: []time.Time{start.Add(-time.Hour), start.Add(-time.Minute), start}},
	}
	byApp := func(a, b condition.Deployed) bool { return a.PodLabels["app"] < b.PodLabels["app"] }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(byApp), cmpopts.SortSlices(time.Time.Before)); diff != "" {
		t.Errorf("deployed (-want +got):\n%s", diff)
	}
}

// Nobody asks when workloads are deployed until a drain met connections.
func TestDeploymentsAreListedWhereConnectionsWere(t *testing.T) {
	p := webPolicy()
	w := newWorld(t, p, pod(1), revision("web-1", "web", start.Add(-time.Hour)), revision("web-2", "web", start))
	a := asked{}
	w.reconciler.deployed = newDeployed(a.wrap(w), w.clock)
	w.mustLook()
	if len(a.lists) != 0 {
		t.Errorf("lists: %v", a.lists)
	}
	p = w.policy()
	p.Status.RecentDrains = []v1alpha1.DrainRecord{{
		Pod: "gone", UID: "gone", Outcome: v1alpha1.OutcomeDrained, EndedAt: metav1.NewTime(start), OldestLongLivedSeconds: ptr.To[int32](3500),
	}}
	if err := w.client.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.mustLook()
	c := meta.FindStatusCondition(w.policy().Status.Conditions, v1alpha1.ConditionConnectionsYoungEnough)
	if c == nil || c.Reason != v1alpha1.ReasonAsOldAsDeployments || len(a.lists) == 0 {
		t.Errorf("%+v, lists: %v", c, a.lists)
	}
}
