// Package registration describes how the API server is told about our webhooks.
// It is pure: desired state from facts; controllers/ applies it.
package registration

import (
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	// ConfigurationName is the MutatingWebhookConfiguration that the operator owns.
	ConfigurationName = "drain-operator-inject"

	// GateName is the ValidatingWebhookConfiguration that the operator owns.
	GateName = "drain-operator-gate"

	// InjectPath is where the injection webhook is served.
	InjectPath = "/inject"

	// EvictPath is where the eviction webhook is served.
	EvictPath = "/evict"

	// GatePath is where the gate is served.
	GatePath = "/gate"

	// injectName and evictName are the entries in the configuration.
	injectName = "inject.drain-operator.dev"
	evictName  = "evict.drain-operator.dev"

	// timeoutSeconds: an answer from memory takes milliseconds. What takes
	// longer is not worth a pod's start.
	timeoutSeconds = 2
)

// Target is where the API server finds the webhook server: a Service, or a
// URL when the operator runs outside the cluster.
type Target struct {
	Service types.NamespacedName
	URL     string
}

// Registration is everything that the configurations depend on.
type Registration struct {
	Target Target
	// Bundle is the PEM of the CAs to trust.
	Bundle []byte
	// Namespaces that have a policy and are not excluded. None means that
	// the webhook is not registered at all.
	Namespaces []string
	// EvictionNamespaces are those of them in which a policy WantsEvictions.
	EvictionNamespaces []string
	// GateNamespaces are those of them in which a policy holds deletions.
	GateNamespaces []string
	// Owner is deleted at an uninstall, and the configuration with it. May be nil.
	Owner *metaac.OwnerReferenceApplyConfiguration
	// Foreign are requirements that somebody else added to the namespace
	// selectors, by the webhook's name. Some clusters add theirs to every
	// webhook and would take turns with us for ever.
	Foreign map[string][]metav1.LabelSelectorRequirement
}

// WantsEvictions says whether evictions of a policy's pods may have to be
// changed: it acts on pods, and the grace that it gives them moves with what
// is measured.
func WantsEvictions(p *v1alpha1.DrainPolicy) bool {
	measured := p.Status.GracePeriod
	return p.Spec.Mode != v1alpha1.ModeObserve && measured != nil &&
		(measured.HoldSeconds != nil || measured.ShutdownSeconds != nil)
}

// Configuration renders the registration. It sets only what the operator
// owns: another manager's labels, annotations and webhooks stay.
func (r Registration) Configuration() *admissionac.MutatingWebhookConfigurationApplyConfiguration {
	config := admissionac.MutatingWebhookConfiguration(ConfigurationName).WithLabels(labels())
	if r.Owner != nil {
		config.WithOwnerReferences(r.Owner)
	}
	if len(r.Namespaces) == 0 || len(r.Bundle) == 0 {
		return config
	}
	config.WithWebhooks(r.webhook(injectName, InjectPath, "pods", r.Namespaces).
		WithMatchConditions(matchConditions()...).
		WithReinvocationPolicy(admissionv1.IfNeededReinvocationPolicy))
	if len(r.EvictionNamespaces) > 0 {
		// No object selector: an Eviction carries no labels of its pod.
		config.WithWebhooks(r.webhook(evictName, EvictPath, "pods/eviction", r.EvictionNamespaces).
			WithReinvocationPolicy(admissionv1.NeverReinvocationPolicy))
	}
	return config
}

// webhook is what all entries have in common: asked about creations, failing open.
func (r Registration) webhook(name, path, resource string, namespaces []string) *admissionac.MutatingWebhookApplyConfiguration {
	return admissionac.MutatingWebhook().
		WithName(name).
		WithClientConfig(r.clientConfig(path)).
		WithRules(rule(admissionv1.Create, resource)).
		WithNamespaceSelector(namespaceSelector(namespaces, r.Foreign[name])).
		WithMatchPolicy(admissionv1.Equivalent).
		WithFailurePolicy(admissionv1.Ignore).
		WithSideEffects(admissionv1.SideEffectClassNone).
		WithTimeoutSeconds(timeoutSeconds).
		WithAdmissionReviewVersions("v1")
}

func rule(operation admissionv1.OperationType, resource string) *admissionac.RuleWithOperationsApplyConfiguration {
	return admissionac.RuleWithOperations().
		WithOperations(operation).
		WithAPIGroups("").WithAPIVersions("v1").WithResources(resource).
		WithScope(admissionv1.NamespacedScope)
}

func (r Registration) clientConfig(path string) *admissionac.WebhookClientConfigApplyConfiguration {
	client := admissionac.WebhookClientConfig().WithCABundle(r.Bundle...)
	if r.Target.URL != "" {
		return client.WithURL(r.Target.URL + path)
	}
	return client.WithService(admissionac.ServiceReference().
		WithNamespace(r.Target.Service.Namespace).
		WithName(r.Target.Service.Name).
		WithPath(path).
		WithPort(443))
}

func namespaceSelector(namespaces []string, foreign []metav1.LabelSelectorRequirement) *metaac.LabelSelectorApplyConfiguration {
	selector := metaac.LabelSelector().WithMatchExpressions(
		metaac.LabelSelectorRequirement().
			WithKey(corev1.LabelMetadataName).
			WithOperator(metav1.LabelSelectorOpIn).
			WithValues(slices.Compact(slices.Sorted(slices.Values(namespaces)))...),
		metaac.LabelSelectorRequirement().
			WithKey(v1alpha1.LabelInjection).
			WithOperator(metav1.LabelSelectorOpNotIn).
			WithValues(v1alpha1.InjectionDisabled),
	)
	for _, requirement := range foreign {
		selector.WithMatchExpressions(metaac.LabelSelectorRequirement().
			WithKey(requirement.Key).WithOperator(requirement.Operator).WithValues(requirement.Values...))
	}
	return selector
}

// matchConditions keep pods from us that the API server itself can see are to
// be left alone. None of them can fail: an error would skip the webhook.
func matchConditions() []*admissionac.MatchConditionApplyConfiguration {
	return []*admissionac.MatchConditionApplyConfiguration{
		admissionac.MatchCondition().WithName("not-a-mirror-pod").
			WithExpression("!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)"),
		admissionac.MatchCondition().WithName("not-opted-out").
			WithExpression("!has(object.metadata.annotations) || !('" + v1alpha1.AnnotationInject + "' in object.metadata.annotations) || " +
				"object.metadata.annotations['" + v1alpha1.AnnotationInject + "'] != 'false'"),
	}
}

// ForeignRequirements returns the requirements of the registered namespace
// selectors that are not ours, by the webhook's name.
func ForeignRequirements(config *admissionv1.MutatingWebhookConfiguration) map[string][]metav1.LabelSelectorRequirement {
	foreign := map[string][]metav1.LabelSelectorRequirement{}
	for _, webhook := range config.Webhooks {
		foreign[webhook.Name] = notOurs(webhook.NamespaceSelector)
	}
	return foreign
}

func notOurs(selector *metav1.LabelSelector) []metav1.LabelSelectorRequirement {
	if selector == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(selector.MatchExpressions), isOurs)
}

func isOurs(requirement metav1.LabelSelectorRequirement) bool {
	return requirement.Key == corev1.LabelMetadataName || requirement.Key == v1alpha1.LabelInjection
}

// PublishedBundles are the CA bundles of the registered webhooks, none when
// nothing is registered.
func PublishedBundles(config *admissionv1.MutatingWebhookConfiguration) [][]byte {
	var bundles [][]byte
	for _, webhook := range config.Webhooks {
		if webhook.Name == injectName || webhook.Name == evictName {
			bundles = append(bundles, webhook.ClientConfig.CABundle)
		}
	}
	return bundles
}

func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "drain-operator"}
}
