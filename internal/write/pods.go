// Package write is where the operator writes to pods: their conditions, and the
// requests for their end. Every write names the pod by its UID.
package write

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/drain-operator/drain-operator/internal/drain"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;delete
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create

// Pods writes to pods. Implementations are safe for concurrent use.
type Pods interface {
	// SetConditions sets these conditions of a pod's status, and leaves the
	// others. A pod that is gone is no error.
	SetConditions(ctx context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error
	// Release asks for the pod's end. A pod that is gone is no error. An
	// Eviction that its budget refuses gives an error for which
	// apierrors.IsTooManyRequests holds, at once.
	Release(ctx context.Context, pod *corev1.Pod, release drain.Release) error
}

// fieldManager owns the conditions in the eyes of the API server.
const fieldManager = "drain-operator"

// New returns Pods that writes by way of a client of the API server. It needs
// nothing of it but its connection.
func New(c corev1client.CoreV1Interface) Pods { return pods{api: c.RESTClient()} }

// AsKnown returns Pods that writes to a pod only as it was known: where it has
// changed since, the error is one for which apierrors.IsConflict holds. For
// whoever decides by a cache, and must not undo what came meanwhile.
func AsKnown(c corev1client.CoreV1Interface) Pods {
	return pods{api: c.RESTClient(), asKnown: true}
}

type pods struct {
	api     rest.Interface
	asKnown bool
}

// version that a write presumes, empty for any.
func (p pods) version(pod *corev1.Pod) string {
	if p.asKnown {
		return pod.ResourceVersion
	}
	return ""
}

// SetConditions implements Pods. Conditions are merged by type in the API
// server, so that what others write meanwhile stays.
func (p pods) SetConditions(ctx context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error {
	if len(conditions) == 0 {
		return nil
	}
	patch, err := patchOf(pod.UID, p.version(pod), conditions)
	if err != nil {
		return fmt.Errorf("setting conditions: %w", err)
	}
	err = p.api.Patch(types.StrategicMergePatchType).
		Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("status").
		Param("fieldManager", fieldManager).
		Body(patch).MaxRetries(0).Do(ctx).Error()
	return p.unlessGone(ctx, pod, "setting conditions", err)
}

// patchOf names the pod by its UID: the API server refuses to change that.
func patchOf(uid types.UID, version string, conditions []corev1.PodCondition) ([]byte, error) {
	type meta struct {
		UID             types.UID `json:"uid"`
		ResourceVersion string    `json:"resourceVersion,omitempty"`
	}
	type status struct {
		Conditions []corev1.PodCondition `json:"conditions"`
	}
	return json.Marshal(struct {
		Metadata meta   `json:"metadata"`
		Status   status `json:"status"`
	}{meta{uid, version}, status{conditions}})
}

// Release implements Pods.
func (p pods) Release(ctx context.Context, pod *corev1.Pod, release drain.Release) error {
	options := metav1.DeleteOptions{
		GracePeriodSeconds: release.GraceSeconds,
		Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
	}
	if version := p.version(pod); version != "" {
		options.Preconditions.ResourceVersion = &version
	}
	if release.Kind == drain.Evict {
		return p.unlessGone(ctx, pod, "evicting", p.evict(ctx, pod, options))
	}
	err := p.api.Delete().
		Namespace(pod.Namespace).Resource("pods").Name(pod.Name).
		Body(&options).MaxRetries(0).Do(ctx).Error()
	return p.unlessGone(ctx, pod, "deleting", err)
}

// evict does not retry within the call, as clients do by default when they are
// told to come back later: the pod's other rules would not be looked at meanwhile.
func (p pods) evict(ctx context.Context, pod *corev1.Pod, options metav1.DeleteOptions) error {
	return p.api.Post().
		Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("eviction").
		Body(&policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			DeleteOptions: &options,
		}).
		MaxRetries(0).Do(ctx).Error()
}

// unlessGone is nil where the pod that was meant is gone. The API server says a
// conflict, or that the UID cannot be changed, when there is another pod of
// that name; both may mean other things, too, so it is asked.
func (p pods) unlessGone(ctx context.Context, pod *corev1.Pod, doing string, err error) error {
	switch {
	case err == nil || apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err) || apierrors.IsInvalid(err):
		gone, asking := p.gone(ctx, pod)
		if gone {
			return nil
		}
		if asking != nil {
			return fmt.Errorf("%s pod %s/%s: %w (asking for it again: %w)", doing, pod.Namespace, pod.Name, err, asking)
		}
	}
	return fmt.Errorf("%s pod %s/%s: %w", doing, pod.Namespace, pod.Name, err)
}

func (p pods) gone(ctx context.Context, pod *corev1.Pod) (bool, error) {
	var now corev1.Pod
	err := p.api.Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).Do(ctx).Into(&now)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return err == nil && now.UID != pod.UID, err
}
