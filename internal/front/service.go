package front

import (
	"cmp"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	serviceType       = "service.beta.kubernetes.io/aws-load-balancer-type"
	serviceTargetType = "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type"
	serviceAttributes = "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes"

	classNLB     = "service.k8s.aws/nlb"
	classAutoNLB = "eks.amazonaws.com/nlb"
)

// Service is what is looked at of a Service.
type Service struct {
	name     string
	selector map[string]string
	// nlb says that the controller makes an NLB for it, nlbTargets with which
	// targets, nlbDelay with which delay.
	nlb        bool
	nlbTargets v1alpha1.FrontTargets
	nlbDelay   delay
	// albTargets and albAttributes are what it says to ALBs of Ingresses: the
	// former is empty, the latter nil where it says nothing.
	albTargets    v1alpha1.FrontTargets
	albAttributes *string
	// nodePorts says that the nodes have ports for it.
	nodePorts bool
}

// ServiceOf drops what is not looked at. ok is false where no pod is behind it.
func ServiceOf(s *corev1.Service) (reduced Service, ok bool) {
	if len(s.Spec.Selector) == 0 || s.DeletionTimestamp != nil || s.Spec.Type == corev1.ServiceTypeExternalName {
		return Service{}, false
	}
	reduced = Service{
		name: s.Name, selector: s.Spec.Selector,
		albTargets: targetsNamed(s.Annotations[ingressTargetType]),
		nodePorts:  s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer,
	}
	if attributes, given := s.Annotations[ingressAttributes]; given {
		reduced.albAttributes = &attributes
	}
	if targets, ours := nlbFor(s); ours {
		reduced.nlb, reduced.nlbTargets, reduced.nlbDelay = true, targets, nlbDelay(s)
	}
	return reduced, true
}

// nlbFor says whether an NLB is made for a Service, and with which targets. A
// Service with the class of another controller has nothing to do with AWS,
// whatever its annotations say.
func nlbFor(s *corev1.Service) (v1alpha1.FrontTargets, bool) {
	named := targetsNamed(s.Annotations[serviceTargetType])
	switch ptr.Deref(s.Spec.LoadBalancerClass, "") {
	case classNLB:
		return cmp.Or(named, v1alpha1.FrontTargetsNodes), true
	case classAutoNLB:
		return cmp.Or(named, v1alpha1.FrontTargetsPods), true
	case "":
	default:
		return "", false
	}
	switch s.Annotations[serviceType] {
	case "nlb-ip":
		return v1alpha1.FrontTargetsPods, true
	case "external":
		return named, named != ""
	}
	return "", false
}

// nlbDelay is the longest of the ports' target groups: each may have attributes
// of its own.
func nlbDelay(s *corev1.Service) delay {
	base := delayIn(s.Annotations[serviceAttributes])
	if len(s.Spec.Ports) == 0 {
		return base
	}
	var most delay
	for _, port := range s.Spec.Ports {
		own := delayIn(s.Annotations[serviceAttributes+"."+strconv.Itoa(int(port.Port))])
		most = longest(most, own.or(base))
	}
	return most
}

func (w world) ofService(s Service) []Front {
	if !s.nlb {
		return nil
	}
	return []Front{{Selector: s.selector, Front: v1alpha1.Front{
		Kind: v1alpha1.FrontService, Name: s.name, Service: s.name, LoadBalancer: v1alpha1.FrontNLB,
		Targets:                    w.targetsOf(v1alpha1.FrontService, s.name, s.nlbTargets),
		DeregistrationDelaySeconds: s.nlbDelay.seconds, Declared: s.nlbDelay.declared,
	}}}
}
