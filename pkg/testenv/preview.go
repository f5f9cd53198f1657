package testenv

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/injection"
)

// Result is what becomes of a pod when it is created.
type Result string

// Results of a Preview.
const (
	// Injected: the pod gets what its policy asks for.
	Injected Result = Result(injection.ResultInjected)
	// Observed: only policies in mode Observe select the pod. It stays as it is.
	Observed Result = Result(injection.ResultObserved)
	// Excluded: a policy selects the pod, and it is left alone for a reason.
	Excluded Result = Result(injection.ResultExcluded)
	// NotSelected: no policy selects the pod.
	NotSelected Result = Result(injection.ResultNotSelected)
)

// Preview is what becomes of a pod that is created from a template.
type Preview struct {
	Result Result
	// Policy is the name of the policy whose settings the pod gets, or with
	// Observed would get; empty otherwise.
	Policy string
	// Reason is why the pod is left alone, with Excluded: docs/injection.md
	// explains each.
	Reason string
	// Notes are what a person should know of the injection: a hook that was
	// kept, a container too small for the agent. docs/injection.md explains
	// each reason.
	Notes []Note
	// Before is the pod without injection, After the pod as it would be
	// created, both with the API server's defaults.
	Before, After *corev1.Pod
}

// Note is something that a person should know of an injection. Container is
// empty where the whole pod is meant.
type Note struct {
	Reason, Container, Message string
}

// Preview asks the API server, and through it the webhooks, for a pod of a
// template in a namespace, in dry runs: nothing is created. The namespace must
// exist. It is an error when the API server refuses the pod, with injection or
// without.
func (w *Webhooks) Preview(ctx context.Context, namespace string, template corev1.PodTemplateSpec) (*Preview, error) {
	before, err := w.dryRun(ctx, namespace, template, true)
	if err != nil {
		return nil, fmt.Errorf("creating the pod without injection: %w", err)
	}
	after, err := w.dryRun(ctx, namespace, template, false)
	if err != nil {
		return nil, fmt.Errorf("creating the pod: %w", err)
	}
	policies, err := w.policies(ctx, namespace)
	if err != nil {
		return nil, err
	}
	answer, _ := injection.Decide(before, namespace, policies, w.options)
	preview := &Preview{
		Result: Result(answer.Result), Policy: answer.Plan.Policy, Reason: string(answer.Exclusion),
		Before: before, After: after,
	}
	for _, note := range answer.Plan.Notes {
		preview.Notes = append(preview.Notes, Note{Reason: string(note.Reason), Container: note.Container, Message: note.Message})
	}
	return preview, nil
}

// dryRun returns the pod as it would be created, opted out of injection or not.
func (w *Webhooks) dryRun(ctx context.Context, namespace string, template corev1.PodTemplateSpec, optOut bool) (*corev1.Pod, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "preview-",
			Labels: template.Labels, Annotations: maps.Clone(template.Annotations),
		},
		Spec: *template.Spec.DeepCopy(),
	}
	if optOut {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, v1alpha1.AnnotationInject, "false")
	}
	if err := w.client.Create(ctx, pod, client.DryRunAll); err != nil {
		return nil, err
	}
	if own, set := template.Annotations[v1alpha1.AnnotationInject]; optOut && set {
		pod.Annotations[v1alpha1.AnnotationInject] = own
	} else if optOut {
		delete(pod.Annotations, v1alpha1.AnnotationInject)
	}
	if len(pod.Annotations) == 0 {
		pod.Annotations = nil
	}
	return pod, nil
}
