package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// +kubebuilder:rbac:groups=apps,resources=replicasets;statefulsets;daemonsets,verbs=get
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=list

// budgetPeriod is how old what is known of disruption budgets may be.
const budgetPeriod = 500 * time.Millisecond

// holdWorld reads from the cache, and asks for owners and disruption budgets
// only while a pod is held: to watch them all would cost memory at all times.
type holdWorld struct {
	cached   client.Reader
	uncached client.Reader
	pods     func(ctx context.Context, namespace string) ([]*corev1.Pod, error)

	policy      func(ctx context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error)
	terminating func(ctx context.Context, namespace string) (bool, error)
	releasing   func() bool

	owners  fleeting[types.UID, drain.Owner]
	budgets fleeting[string, []*policyv1.PodDisruptionBudget]
}

func (w *holdWorld) Pod(ctx context.Context, key types.NamespacedName) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	err := w.cached.Get(ctx, key, pod)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return pod, err
}

func (w *holdWorld) Pods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	return w.pods(ctx, namespace)
}

func (w *holdWorld) Policy(ctx context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error) {
	return w.policy(ctx, namespace, name)
}

func (w *holdWorld) NamespaceTerminating(ctx context.Context, namespace string) (bool, error) {
	return w.terminating(ctx, namespace)
}

func (w *holdWorld) Releasing() bool { return w.releasing() }

// Owner asks for those kinds whose wishes can be told.
func (w *holdWorld) Owner(ctx context.Context, pod *corev1.Pod) (drain.Owner, error) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.APIVersion != appsv1.SchemeGroupVersion.String() {
		return drain.Owner{}, nil
	}
	return w.owners.get(ref.UID, func() (drain.Owner, error) { return w.readOwner(ctx, pod.Namespace, ref) })
}

func (w *holdWorld) readOwner(ctx context.Context, namespace string, ref *metav1.OwnerReference) (drain.Owner, error) {
	var owner client.Object
	var read func() drain.Owner
	switch ref.Kind {
	case "ReplicaSet":
		o := &appsv1.ReplicaSet{}
		owner, read = o, func() drain.Owner { return drain.OwnerOfReplicaSet(o) }
	case "StatefulSet":
		o := &appsv1.StatefulSet{}
		owner, read = o, func() drain.Owner { return drain.OwnerOfStatefulSet(o) }
	case "DaemonSet":
		o := &appsv1.DaemonSet{}
		owner, read = o, func() drain.Owner { return drain.OwnerOfDaemonSet(o) }
	default:
		return drain.Owner{}, nil
	}
	err := w.uncached.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, owner)
	if apierrors.IsNotFound(err) || err == nil && owner.GetUID() != ref.UID {
		return drain.Owner{UID: ref.UID, Kind: ref.Kind, Gone: true}, nil
	}
	if err != nil {
		return drain.Owner{}, fmt.Errorf("reading the %s %s: %w", ref.Kind, ref.Name, err)
	}
	return read(), nil
}

func (w *holdWorld) Budgets(ctx context.Context, namespace string) ([]*policyv1.PodDisruptionBudget, error) {
	return w.budgets.get(namespace, func() ([]*policyv1.PodDisruptionBudget, error) {
		list := &policyv1.PodDisruptionBudgetList{}
		if err := w.uncached.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("listing disruption budgets: %w", err)
		}
		budgets := make([]*policyv1.PodDisruptionBudget, len(list.Items))
		for i := range list.Items {
			budgets[i] = &list.Items[i]
		}
		return budgets, nil
	})
}

// fleeting keeps answers for a short time, so that many held pods of one owner
// ask once. It is safe for concurrent use.
type fleeting[K comparable, V any] struct {
	clock  clock.PassiveClock
	period time.Duration

	mu   sync.Mutex
	kept map[K]*answer[V]
}

type answer[V any] struct {
	mu    sync.Mutex
	at    time.Time
	value V
}

func newFleeting[K comparable, V any](c clock.PassiveClock, period time.Duration) fleeting[K, V] {
	return fleeting[K, V]{clock: c, period: period, kept: map[K]*answer[V]{}}
}

// get returns the answer for a key, asked for while others that want the same wait.
func (f *fleeting[K, V]) get(key K, ask func() (V, error)) (V, error) {
	a := f.of(key)
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := f.clock.Now(); !a.at.IsZero() && now.Sub(a.at) < f.period {
		return a.value, nil
	}
	asked := f.clock.Now()
	value, err := ask()
	if err != nil {
		return value, err
	}
	a.at, a.value = asked, value
	return value, nil
}

// of also drops what is old, now and then.
func (f *fleeting[K, V]) of(key K) *answer[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) > 1024 {
		clear(f.kept)
	}
	if f.kept[key] == nil {
		f.kept[key] = &answer[V]{}
	}
	return f.kept[key]
}
