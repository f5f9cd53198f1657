package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/registration"
)

// registrar is a reconciler over namespaces that all hold deletions, and what
// it has written so far.
type registrar struct {
	*WebhookReconciler
	clock      *clocktesting.FakePassiveClock
	namespaces []string
	writes     int
}

func newRegistrar(t *testing.T) *registrar {
	t.Helper()
	r := &registrar{clock: clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "cert"}, Data: map[string][]byte{certs.KeyBundle: []byte("ca")}}
	all := func(context.Context) ([]string, error) { return r.namespaces, nil }
	r.WebhookReconciler = &WebhookReconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(secret).WithReturnManagedFields().WithInterceptorFuncs(interceptor.Funcs{
			Apply: func(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, options ...client.ApplyOption) error {
				r.writes++
				return c.Apply(ctx, config, options...)
			},
		}).Build(),
		Namespaces: all, EvictionNamespaces: all, GateNamespaces: all,
		Secret: client.ObjectKeyFromObject(secret), Clock: r.clock, written: map[string]time.Time{},
	}
	return r
}

func (r *registrar) reconcile(t *testing.T, name string) reconcile.Result {
	t.Helper()
	result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (r *registrar) gate(t *testing.T) []admissionv1.ValidatingWebhook {
	t.Helper()
	var registered admissionv1.ValidatingWebhookConfiguration
	if err := client.IgnoreNotFound(r.Client.Get(t.Context(), types.NamespacedName{Name: registration.GateName}, &registered)); err != nil {
		t.Fatal(err)
	}
	return registered.Webhooks
}

// A hundred namespaces that come one after the other are registered within a
// second, the first of them at once.
func TestRegistrationsAreGathered(t *testing.T) {
	for _, name := range []string{registration.ConfigurationName, registration.GateName} {
		t.Run(name, func(t *testing.T) {
			r := newRegistrar(t)
			for i := range 100 {
				r.namespaces = append(r.namespaces, fmt.Sprintf("ns-%03d", i))
				result := r.reconcile(t, name)
				want := reconcile.Result{}
				if i > 0 {
					want.RequeueAfter = time.Second - time.Duration(i)*time.Millisecond
				}
				if diff := cmp.Diff(want, result); diff != "" {
					t.Fatalf("namespace %d (-want +got):\n%s", i, diff)
				}
				r.clock.SetTime(r.clock.Now().Add(time.Millisecond))
			}
			r.clock.SetTime(r.clock.Now().Add(time.Second))
			r.reconcile(t, name)
			if r.writes != 2 {
				t.Errorf("%d writes, want 2", r.writes)
			}
			if result := r.reconcile(t, name); r.writes != 2 || result != (reconcile.Result{}) {
				t.Errorf("written again, or to be looked at again: %d, %+v", r.writes, result)
			}
		})
	}
}

func TestTheGateComesAndGoes(t *testing.T) {
	r := newRegistrar(t)
	step := func(namespaces ...string) (entries, writes int) {
		t.Helper()
		before := r.writes
		r.namespaces = namespaces
		r.clock.SetTime(r.clock.Now().Add(time.Second))
		r.reconcile(t, registration.GateName)
		return len(r.gate(t)), r.writes - before
	}
	for i, s := range []struct {
		namespaces              []string
		wantEntries, wantWrites int
	}{{nil, 0, 0}, {[]string{"a"}, 2, 1}, {[]string{"a"}, 2, 0}, {[]string{"a", "b"}, 2, 1}, {nil, 0, 1}, {nil, 0, 0}} {
		if entries, writes := step(s.namespaces...); entries != s.wantEntries || writes != s.wantWrites {
			t.Errorf("step %d: %d entries by %d writes, want %d by %d", i, entries, writes, s.wantEntries, s.wantWrites)
		}
	}
}

// With a Secret of somebody else's, what this process does not know stays as it
// is registered, and what changes by itself is looked at again.
func TestSomebodyElsesBundleIsPublished(t *testing.T) {
	r := newRegistrar(t)
	r.namespaces = []string{"a"}
	var known string
	var again time.Time
	r.Bundle = func(data map[string][]byte, _ [][]byte) ([]byte, time.Time) {
		if got := string(data[certs.KeyBundle]); got != "ca" {
			t.Errorf("asked about %q", got)
		}
		return []byte(known), again
	}
	for i, step := range []struct {
		known     string
		again     time.Duration // 0 for never
		wantCA    string        // none when the gate is not registered
		wantAgain time.Duration
	}{
		{},
		{known: "old", wantCA: "old"},
		{wantCA: "old"},
		{known: "old and new", again: time.Minute, wantCA: "old and new", wantAgain: time.Minute},
		{known: "old and new", again: time.Millisecond, wantCA: "old and new", wantAgain: webhookPause},
		{known: "new", wantCA: "new"},
	} {
		r.clock.SetTime(r.clock.Now().Add(time.Second))
		if known, again = step.known, (time.Time{}); step.again > 0 {
			again = r.clock.Now().Add(step.again)
		}
		if result := r.reconcile(t, registration.GateName); result.RequeueAfter != step.wantAgain {
			t.Errorf("step %d: again in %s, want %s", i, result.RequeueAfter, step.wantAgain)
		}
		var got string
		for _, webhook := range r.gate(t) {
			got = string(webhook.ClientConfig.CABundle)
		}
		if got != step.wantCA {
			t.Errorf("step %d: the CA %q is registered, want %q", i, got, step.wantCA)
		}
	}
}
