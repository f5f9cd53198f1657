package front

import (
	"cmp"
	"encoding/json"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	ingressPrefix     = "alb.ingress.kubernetes.io/"
	ingressTargetType = ingressPrefix + "target-type"
	ingressAttributes = ingressPrefix + "target-group-attributes"
	ingressActions    = ingressPrefix + "actions."

	// classAnnotation is the old way to name a class, classALB the
	// controller's in it.
	classAnnotation = "kubernetes.io/ingress.class"
	classALB        = "alb"

	// actionPort is the port of a backend that names an action, not a Service.
	actionPort = "use-annotation"

	controllerALB     = "ingress.k8s.aws/alb"
	controllerAutoALB = "eks.amazonaws.com/alb"
)

// Class is what is looked at of an IngressClass.
type Class struct{ name, controller string }

// ClassOf drops what is not looked at.
func ClassOf(c *networkingv1.IngressClass) Class { return Class{c.Name, c.Spec.Controller} }

// classes are controllers by the name of their class.
type classes map[string]string

func classesOf(given []Class) classes {
	byName := classes{}
	for _, c := range given {
		byName[c.name] = c.controller
	}
	return byName
}

// controller of an Ingress's class. One that names a class which there is not
// is for whom the name is meant.
func (c classes) controller(class string) string {
	controller, found := c[class]
	if !found && class == classALB {
		return controllerALB
	}
	return controller
}

// Ingress is what is looked at of an Ingress.
type Ingress struct {
	name, class string
	backends    []string
	targets     v1alpha1.FrontTargets
	attributes  string
}

// IngressOf drops what is not looked at.
func IngressOf(i *networkingv1.Ingress) Ingress {
	class := ptr.Deref(i.Spec.IngressClassName, "")
	if class == "" && i.Annotations[classAnnotation] == classALB {
		class = classALB
	}
	return Ingress{
		name: i.Name, class: class, backends: backends(i),
		targets: targetsNamed(i.Annotations[ingressTargetType]), attributes: i.Annotations[ingressAttributes],
	}
}

// backends are the names of the Services that an Ingress sends to.
func backends(i *networkingv1.Ingress) []string {
	var names []string
	add := func(b *networkingv1.IngressBackend) {
		switch {
		case b == nil || b.Service == nil:
		case b.Service.Port.Name == actionPort:
			names = append(names, forwards(i.Annotations[ingressActions+b.Service.Name])...)
		default:
			names = append(names, b.Service.Name)
		}
	}
	add(i.Spec.DefaultBackend)
	for _, rule := range i.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for p := range rule.HTTP.Paths {
			add(&rule.HTTP.Paths[p].Backend)
		}
	}
	return names
}

// forwards are the Services to which an action sends: several of them, with
// weights, where a rollout is made by the load balancer.
func forwards(action string) []string {
	var a struct {
		Type          string `json:"type"`
		ForwardConfig struct {
			TargetGroups []struct {
				ServiceName string `json:"serviceName"`
			} `json:"targetGroups"`
		} `json:"forwardConfig"`
	}
	if json.Unmarshal([]byte(action), &a) != nil || !strings.EqualFold(a.Type, "forward") {
		return nil // the controller would not take it, either
	}
	var names []string
	for _, g := range a.ForwardConfig.TargetGroups {
		if g.ServiceName != "" {
			names = append(names, g.ServiceName)
		}
	}
	return names
}

func (w world) ofIngress(i Ingress) []Front {
	controller := w.classes.controller(i.class)
	if controller != controllerALB && controller != controllerAutoALB {
		return nil
	}
	var found []Front
	for _, name := range i.backends {
		s, there := w.services[name]
		if !there {
			continue
		}
		d := delayIn(i.attributes)
		if s.albAttributes != nil { // the whole annotation, not key by key
			d = delayIn(*s.albAttributes)
		}
		targets := cmp.Or(s.albTargets, i.targets, defaultTargets(controller, s))
		found = append(found, Front{Selector: s.selector, Front: v1alpha1.Front{
			Kind: v1alpha1.FrontIngress, Name: i.name, Service: name, LoadBalancer: v1alpha1.FrontALB,
			Targets:                    w.targetsOf(v1alpha1.FrontIngress, name, targets),
			DeregistrationDelaySeconds: d.seconds, Declared: d.declared,
		}})
	}
	return found
}

// defaultTargets where nothing says which: the controller's default is the
// nodes, which need ports.
func defaultTargets(controller string, s Service) v1alpha1.FrontTargets {
	if controller == controllerALB && s.nodePorts {
		return v1alpha1.FrontTargetsNodes
	}
	return v1alpha1.FrontTargetsPods
}
