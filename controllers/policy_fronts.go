package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/drain-operator/drain-operator/internal/front"
)

// +kubebuilder:rbac:groups="",resources=services,verbs=list
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses;ingressclasses,verbs=list
// +kubebuilder:rbac:groups=elbv2.k8s.aws;eks.amazonaws.com,resources=targetgroupbindings,verbs=list

// frontsPeriod is how old what is known of a namespace's load balancers may be.
const frontsPeriod = 5 * time.Minute

// newFronts are the load balancers of namespaces with a policy. They are listed
// where pods are behind Services at all, and not cached: a cluster has many
// Services and Ingresses, and none of them concerns the operator more often.
func newFronts(uncached client.Reader, c clock.PassiveClock) *listings[front.Front] {
	l := &frontLister{uncached: uncached, clock: c, missing: map[schema.GroupVersionKind]time.Time{}}
	return &listings[front.Front]{clock: c, period: frontsPeriod, unknown: "what is in front of the pods", list: l.list}
}

// frontLister lists what fronts are found in.
type frontLister struct {
	uncached client.Reader
	clock    clock.PassiveClock

	mu sync.Mutex
	// classes of the cluster, and when they were listed.
	classes   []front.Class
	classesAt time.Time
	// missing are the kinds whose CRD was not there, and when that was seen.
	missing map[schema.GroupVersionKind]time.Time
}

func (l *frontLister) list(ctx context.Context, namespace string) ([]front.Front, error) {
	var o front.Objects
	err := pages(ctx, l.uncached, namespace, &corev1.ServiceList{}, func(page *corev1.ServiceList) {
		for i := range page.Items {
			if s, ok := front.ServiceOf(&page.Items[i]); ok {
				o.Services = append(o.Services, s)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing Services: %w", err)
	}
	if len(o.Services) == 0 {
		return []front.Front{}, nil
	}
	err = pages(ctx, l.uncached, namespace, &networkingv1.IngressList{}, func(page *networkingv1.IngressList) {
		for i := range page.Items {
			o.Ingresses = append(o.Ingresses, front.IngressOf(&page.Items[i]))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing Ingresses: %w", err)
	}
	if len(o.Ingresses) > 0 {
		if o.Classes, err = l.ingressClasses(ctx); err != nil {
			return nil, err
		}
	}
	for _, kind := range front.BindingKinds() {
		found, err := l.bindings(ctx, namespace, kind)
		if err != nil {
			return nil, err
		}
		o.Bindings = append(o.Bindings, found...)
	}
	return append([]front.Front{}, front.Find(o)...), nil
}

// ingressClasses are few, and the same for all namespaces.
func (l *frontLister) ingressClasses(ctx context.Context) ([]front.Class, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if !l.classesAt.IsZero() && now.Sub(l.classesAt) < listingFresh {
		return l.classes, nil
	}
	var found []front.Class
	err := pages(ctx, l.uncached, "", &networkingv1.IngressClassList{}, func(page *networkingv1.IngressClassList) {
		for i := range page.Items {
			found = append(found, front.ClassOf(&page.Items[i]))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing IngressClasses: %w", err)
	}
	l.classes, l.classesAt = found, now
	return found, nil
}

// bindings of a kind, none where its CRD is not installed. That is asked again
// after a period.
func (l *frontLister) bindings(ctx context.Context, namespace string, kind schema.GroupVersionKind) ([]front.Binding, error) {
	if l.isMissing(kind) {
		return nil, nil
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	var found []front.Binding
	err := pages(ctx, l.uncached, namespace, list, func(page *unstructured.UnstructuredList) {
		for i := range page.Items {
			found = append(found, front.BindingOf(&page.Items[i]))
		}
	})
	if noSuchKind(err) {
		l.setMissing(kind)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing TargetGroupBindings of %s: %w", kind.Group, err)
	}
	return found, nil
}

// noSuchKind says that the CRD is not there, or no longer.
func noSuchKind(err error) bool {
	var undiscovered *meta.NoKindMatchError
	return errors.As(err, &undiscovered) || meta.IsNoMatchError(err) || apierrors.IsNotFound(err)
}

func (l *frontLister) isMissing(kind schema.GroupVersionKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, missing := l.missing[kind]
	return missing && l.clock.Now().Sub(at) < frontsPeriod
}

func (l *frontLister) setMissing(kind schema.GroupVersionKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing[kind] = l.clock.Now()
}
