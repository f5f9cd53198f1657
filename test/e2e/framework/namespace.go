package framework

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// labelSuite marks the namespaces of the suite, for its cleanup.
const labelSuite = "drain-operator.dev/e2e"

// Waits. Conditions come sooner; these bound what a stuck cluster costs.
const (
	short  = 30 * time.Second
	long   = 2 * time.Minute
	glance = 100 * time.Millisecond
)

// Namespace is where one spec lives. It is gone after it.
type Namespace struct {
	*Env
	Name string
}

// NewNamespace makes a namespace with the given labels for the running spec.
func (e *Env) NewNamespace(ctx context.Context, labels map[string]string) *Namespace {
	GinkgoHelper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-", Labels: map[string]string{labelSuite: "true"},
	}}
	for k, v := range labels {
		object.Labels[k] = v
	}
	Expect(e.Client.Create(ctx, object)).To(Succeed())
	ns := &Namespace{Env: e, Name: object.Name}
	began := time.Now()
	DeferCleanup(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			ns.dump(ctx, began)
		}
		Expect(e.remove(ctx, ns.Name)).To(Succeed())
	}, NodeTimeout(long))
	return ns
}

// remove deletes a namespace without waiting for what drains in it: policies
// first, so that nothing new is injected, then pods with their grace cut short.
func (e *Env) remove(ctx context.Context, name string) error {
	in := client.InNamespace(name)
	if err := client.IgnoreNotFound(e.Client.DeleteAllOf(ctx, &v1alpha1.DrainPolicy{}, in)); err != nil {
		return err
	}
	if err := client.IgnoreNotFound(e.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})); err != nil {
		return err
	}
	return e.Client.DeleteAllOf(ctx, &corev1.Pod{}, in, client.GracePeriodSeconds(0))
}

// RemoveLeftovers removes what a suite that was killed left behind, and waits
// until it is gone.
func (e *Env) RemoveLeftovers(ctx context.Context) {
	GinkgoHelper()
	Expect(e.removeRoles(ctx)).To(Succeed())
	Expect(e.removeSources(ctx)).To(Succeed())
	for _, kind := range []client.Object{&corev1.Node{}, &schedulingv1.PriorityClass{}} {
		Expect(e.Client.DeleteAllOf(ctx, kind, client.HasLabels{labelSuite})).To(Succeed())
	}
	var found corev1.NamespaceList
	Expect(e.Client.List(ctx, &found, client.HasLabels{labelSuite})).To(Succeed())
	for _, ns := range found.Items {
		Expect(e.remove(ctx, ns.Name)).To(Succeed())
	}
	Eventually(func(g Gomega) {
		g.Expect(e.Client.List(ctx, &found, client.HasLabels{labelSuite})).To(Succeed())
		g.Expect(found.Items).To(BeEmpty())
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
}

// Create creates objects in the namespace.
func (n *Namespace) Create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		o.SetNamespace(n.Name)
		Expect(n.Client.Create(ctx, o)).To(Succeed())
	}
}

// Delete asks for an object's deletion with its own grace.
func (n *Namespace) Delete(ctx context.Context, o client.Object) {
	GinkgoHelper()
	o.SetNamespace(n.Name)
	Expect(n.Client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
}

// Label sets a label of the namespace itself.
func (n *Namespace) Label(ctx context.Context, key, value string) {
	GinkgoHelper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, key, value)
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
	Expect(n.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))).To(Succeed())
}

// Get is an object of the namespace as it is now.
func Get[T client.Object](ctx context.Context, n *Namespace, name string, into T) T {
	GinkgoHelper()
	Expect(n.Client.Get(ctx, client.ObjectKey{Namespace: n.Name, Name: name}, into)).To(Succeed())
	return into
}

// Change edits an object, again if somebody else was faster.
func Change[T client.Object](ctx context.Context, n *Namespace, name string, o T, edit func(T)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := n.Client.Get(ctx, client.ObjectKey{Namespace: n.Name, Name: name}, o); err != nil {
			return StopTrying("get").Wrap(err)
		}
		edit(o)
		err := n.Client.Update(ctx, o)
		if err != nil && !apierrors.IsConflict(err) {
			return StopTrying("update").Wrap(err)
		}
		return err
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(Succeed())
}

// Scale sets a Deployment's replicas.
func (n *Namespace) Scale(ctx context.Context, deployment string, replicas int32) {
	GinkgoHelper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	Expect(n.Client.Patch(ctx, n.deployment(deployment), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
}
