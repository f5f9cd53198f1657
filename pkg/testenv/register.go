package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/registration"
)

const (
	// patience is how long the API server may take to call the webhooks, once
	// they are registered. It notices within a second.
	patience = 20 * time.Second
	// retry is the pause between two attempts.
	retry = 50 * time.Millisecond
	// goodbye bounds what Stop asks of an API server that may be gone.
	goodbye = 5 * time.Second
)

// Stop takes the registration back and ends serving. It may be called more than
// once. An API server that is gone is no error.
func (w *Webhooks) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	registered := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: registration.ConfigurationName}}
	err := w.client.Delete(ctx, registered)
	if answered := apierrors.APIStatus(nil); !errors.As(err, &answered) || apierrors.IsNotFound(err) {
		err = nil
	}
	return errors.Join(err, w.server.stop())
}

func (w *Webhooks) register(ctx context.Context) error {
	configuration, err := w.configuration()
	if err != nil {
		return err
	}
	switch err := w.client.Create(ctx, configuration); {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("the webhooks are registered already: testenv.Start was called before, or an operator runs in this cluster: %w", err)
	case err != nil:
		return fmt.Errorf("registering the webhooks: %w", err)
	}
	return nil
}

// configuration is the operator's own registration, but for where it differs
// on purpose (see the package).
func (w *Webhooks) configuration() (*admissionv1.MutatingWebhookConfiguration, error) {
	const everywhere = "*"
	rendered := registration.Registration{
		Target:             registration.Target{URL: w.server.url},
		Bundle:             w.server.bundle,
		Namespaces:         []string{everywhere},
		EvictionNamespaces: []string{everywhere},
	}.Configuration()
	text, err := json.Marshal(rendered)
	if err != nil {
		return nil, fmt.Errorf("rendering the registration: %w", err)
	}
	configuration := &admissionv1.MutatingWebhookConfiguration{}
	if err := json.Unmarshal(text, configuration); err != nil {
		return nil, fmt.Errorf("rendering the registration: %w", err)
	}
	for i := range configuration.Webhooks {
		webhook := &configuration.Webhooks[i]
		webhook.FailurePolicy = ptr.To(admissionv1.Fail)
		webhook.TimeoutSeconds = ptr.To[int32](10) // of a busy machine
		widen(webhook.NamespaceSelector)
	}
	return configuration, nil
}

// widen replaces the list of namespaces by all but the control plane's.
func widen(selector *metav1.LabelSelector) {
	at := slices.IndexFunc(selector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
		return r.Key == corev1.LabelMetadataName
	})
	selector.MatchExpressions[at].Operator = metav1.LabelSelectorOpNotIn
	selector.MatchExpressions[at].Values = []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease}
}

// untilCalled waits until the API server calls the webhooks: it does not read
// its registrations for each request.
func (w *Webhooks) untilCalled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		// Refused or not, it is a question to the webhooks.
		err := w.client.Create(ctx, anyPod(metav1.NamespaceDefault), client.DryRunAll)
		if w.server.called.Load() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server does not call the webhooks at %s: %w", w.server.url, errors.Join(ctx.Err(), err))
		case <-time.After(retry):
		}
	}
}

func anyPod(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "testenv-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "drain-operator.invalid/none"}}},
	}
}
