package front

import (
	"cmp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// BindingKinds are the kinds of TargetGroupBindings, where their CRD is
// installed: those of the controller, and those of EKS Auto Mode.
func BindingKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		{Group: "elbv2.k8s.aws", Version: "v1beta1", Kind: "TargetGroupBinding"},
		{Group: "eks.amazonaws.com", Version: "v1", Kind: "TargetGroupBinding"},
	}
}

// stackLabel ends the label by which the controller knows those that it made.
const stackLabel = "/stack-name"

// Binding is what is looked at of a TargetGroupBinding.
type Binding struct {
	name, service, targetType, protocol string
	// theirs says that the controller made it, madeFor for what, where that
	// is an Ingress or a Service.
	theirs  bool
	madeFor v1alpha1.FrontKind
	delay   delay
}

// BindingOf drops what is not looked at.
func BindingOf(u *unstructured.Unstructured) Binding {
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...) // else empty
		return s
	}
	b := Binding{name: u.GetName(), service: text("serviceRef", "name"), targetType: text("targetType"), protocol: text("targetGroupProtocol")}
	for label := range u.GetLabels() {
		if strings.HasSuffix(label, stackLabel) {
			b.theirs = true
			b.madeFor = cmp.Or(b.madeFor, madeFor(label))
		}
	}
	annotations := u.GetAnnotations()
	b.delay = delayIn(annotations[ingressAttributes]).or(delayIn(annotations[serviceAttributes]))
	return b
}

func madeFor(label string) v1alpha1.FrontKind {
	switch {
	case strings.HasPrefix(label, "ingress."):
		return v1alpha1.FrontIngress
	case strings.HasPrefix(label, "service."):
		return v1alpha1.FrontService
	}
	return ""
}

// targets are the pods where the type is left open: it is filled in with what
// the target group has, as soon as the controller sees it.
func (b Binding) targets() v1alpha1.FrontTargets {
	return cmp.Or(targetsNamed(b.targetType), v1alpha1.FrontTargetsPods)
}

// balancer that a target group of this protocol belongs to; empty where it is
// not given.
func (b Binding) balancer() v1alpha1.FrontBalancer {
	switch b.protocol {
	case "":
		return ""
	case "HTTP", "HTTPS":
		return v1alpha1.FrontALB
	}
	return v1alpha1.FrontNLB
}

// ofBinding: those that the controller made stand for what they were made for.
func (w world) ofBinding(b Binding) []Front {
	s, there := w.services[b.service]
	if b.theirs || !there {
		return nil
	}
	return []Front{{Selector: s.selector, Front: v1alpha1.Front{
		Kind: v1alpha1.FrontTargetGroupBinding, Name: b.name, Service: b.service,
		LoadBalancer: b.balancer(), Targets: b.targets(),
		DeregistrationDelaySeconds: b.delay.seconds, Declared: b.delay.declared,
	}}}
}
