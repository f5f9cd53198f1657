package registration

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// gateDeleteName and gateEvictName are the entries in the gate's configuration.
const (
	gateDeleteName = "delete.gate.drain-operator.dev"
	gateEvictName  = "evict.gate.drain-operator.dev"
)

// Gate renders the registration of the gate, without entries where no
// namespace needs it. It sets only what the operator owns.
//
// The API server asks about the end of injected pods only, and not again while
// they end: the kubelet's own requests pass without us. An Eviction carries no
// labels of its pod, and there is no old object: it is always asked about.
func (r Registration) Gate() *admissionac.ValidatingWebhookConfigurationApplyConfiguration {
	config := admissionac.ValidatingWebhookConfiguration(GateName).WithLabels(labels())
	if r.Owner != nil {
		config.WithOwnerReferences(r.Owner)
	}
	if len(r.GateNamespaces) == 0 || len(r.Bundle) == 0 {
		return config
	}
	return config.WithWebhooks(
		r.gate(gateDeleteName, admissionv1.Delete, "pods").
			WithObjectSelector(metaac.LabelSelector().WithMatchLabels(map[string]string{v1alpha1.LabelInjected: "true"})).
			WithMatchConditions(admissionac.MatchCondition().WithName("not-terminating").
				WithExpression("!has(oldObject.metadata.deletionTimestamp)")),
		r.gate(gateEvictName, admissionv1.Create, "pods/eviction"),
	)
}

// gate is what both entries have in common: failing open. What was asked for is
// written to the pod, but not in a dry run.
func (r Registration) gate(name string, operation admissionv1.OperationType, resource string) *admissionac.ValidatingWebhookApplyConfiguration {
	return admissionac.ValidatingWebhook().
		WithName(name).
		WithClientConfig(r.clientConfig(GatePath)).
		WithRules(rule(operation, resource)).
		WithNamespaceSelector(namespaceSelector(r.GateNamespaces, r.Foreign[name])).
		WithMatchPolicy(admissionv1.Equivalent).
		WithFailurePolicy(admissionv1.Ignore).
		WithSideEffects(admissionv1.SideEffectClassNoneOnDryRun).
		WithTimeoutSeconds(timeoutSeconds).
		WithAdmissionReviewVersions("v1")
}

// ForeignGateRequirements is ForeignRequirements of the gate.
func ForeignGateRequirements(config *admissionv1.ValidatingWebhookConfiguration) map[string][]metav1.LabelSelectorRequirement {
	foreign := map[string][]metav1.LabelSelectorRequirement{}
	for _, webhook := range config.Webhooks {
		foreign[webhook.Name] = notOurs(webhook.NamespaceSelector)
	}
	return foreign
}

// PublishedGateBundles are the CA bundles of the gate's entries, none when
// it is not registered.
func PublishedGateBundles(config *admissionv1.ValidatingWebhookConfiguration) [][]byte {
	var bundles [][]byte
	for _, webhook := range config.Webhooks {
		if webhook.Name == gateDeleteName || webhook.Name == gateEvictName {
			bundles = append(bundles, webhook.ClientConfig.CABundle)
		}
	}
	return bundles
}
