package testenv

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/eviction"
	"github.com/drain-operator/drain-operator/internal/injection"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/internal/webhook/evict"
	"github.com/drain-operator/drain-operator/internal/webhook/inject"
)

// handlers are the operator's own, by the path where they are served.
func (w *Webhooks) handlers() map[string]http.Handler {
	matter := func(ctx context.Context, namespace string, _ map[string]string) ([]*v1alpha1.DrainPolicy, error) {
		return w.policies(ctx, namespace)
	}
	return map[string]http.Handler{
		registration.InjectPath: inject.NewHandler(matter, func() plan.Options { return w.options }, uncounted{}),
		registration.EvictPath: &admission.Webhook{Handler: &evict.Handler{
			Pods: w.pod, Policies: w.policies, Recorder: uncountedEvictions{},
		}},
	}
}

// policies of a namespace, as the API server has them now.
func (w *Webhooks) policies(ctx context.Context, namespace string) ([]*v1alpha1.DrainPolicy, error) {
	list := &v1alpha1.DrainPolicyList{}
	if err := w.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing the policies of %s: %w", namespace, err)
	}
	policies := make([]*v1alpha1.DrainPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	return policies, nil
}

// pod as the API server has it now, nil when there is none.
func (w *Webhooks) pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := w.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, pod); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return pod, nil
}

// uncounted and uncountedEvictions stand where the operator counts for /metrics.
type (
	uncounted          struct{}
	uncountedEvictions struct{}
)

func (uncounted) Record(injection.Answer, time.Duration) {}

func (uncountedEvictions) Record(eviction.Answer) {}
