package v1alpha1

// Labels and annotations. Everything a person or another program may rely on
// is listed here; anything else the operator writes is an implementation detail.
const (
	// LabelInjected is "true" on every pod that was injected. Webhooks select by it.
	LabelInjected = "drain-operator.dev/injected"

	// LabelInjection on a namespace, set to InjectionDisabled, keeps the API
	// server from calling any webhook of the operator for its pods: they are
	// not injected, and no deletion of them is held. It works while the
	// operator is down.
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

// Conditions of pods under hold Deletion. The first is a readiness gate of pods
// that are created under it.
const (
	// PodInRotation is False while the operator keeps a pod out of rotation,
	// and True at all other times.
	PodInRotation = "drain-operator.dev/in-rotation"

	// PodDeletionRequested is True from the first refused deletion or eviction
	// until the pod goes, or is no longer to.
	PodDeletionRequested = "drain-operator.dev/deletion-requested"

	// PodDrained is False while a held pod is waited for, with what for as its
	// reason; True once it has drained; Unknown when its drain status cannot
	// be read and the policy says Release.
	PodDrained = "drain-operator.dev/drained"
)
