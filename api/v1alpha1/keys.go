package v1alpha1

// Labels and annotations. Everything a person or another program may rely on
// is listed here; anything else the operator writes is an implementation detail.
const (
	// LabelInjected is "true" on every pod that was injected. Webhooks select by it.
	LabelInjected = "drain-operator.dev/injected"

	// LabelInjection on a namespace, set to InjectionDisabled, keeps the API
	// server from calling the injection webhook for its pods. It works while
	// the operator is down.
	LabelInjection = "drain-operator.dev/injection"

	// InjectionDisabled is the value of LabelInjection that turns injection off.
	InjectionDisabled = "disabled"

	// AnnotationPolicy on a pod names the DrainPolicy that its owner wants for
	// it, where several select it.
	AnnotationPolicy = "drain-operator.dev/policy"

	// AnnotationInject on a pod, set to "false", leaves the pod alone.
	AnnotationInject = "drain-operator.dev/inject"

	// AnnotationInjectedBy on an injected pod is "<policy>/<generation>": the
	// policy whose settings are in the pod, and which edit of it.
	AnnotationInjectedBy = "drain-operator.dev/injected-by"

	// AnnotationOriginal on an injected pod is what the pod was before
	// injection, as far as a second pass needs it to come to the same result.
	AnnotationOriginal = "drain-operator.dev/original"
)
