// Package front finds the AWS load balancers that a namespace's objects declare
// in front of its pods, and how long each lets requests in flight go on once a
// pod is deregistered. It is pure.
//
// The names of annotations, classes and labels, which object wins, and what is
// the default, are those of the AWS Load Balancer Controller v3.5.0 and of EKS
// Auto Mode. docs/aws.md says what is read, and what is not.
package front

import (
	"cmp"
	"slices"
	"strings"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Front is a load balancer and the pods behind it.
type Front struct {
	v1alpha1.Front
	// Selector of the Service, by which pods are behind it.
	Selector map[string]string
}

// Selects reports whether a pod with these labels is behind it. A Service
// without a selector selects nothing.
func (f Front) Selects(labels map[string]string) bool {
	for key, value := range f.Selector {
		if got, found := labels[key]; !found || got != value {
			return false
		}
	}
	return len(f.Selector) > 0
}

// Objects of a namespace, and the classes of the cluster, without what is not
// looked at.
type Objects struct {
	Classes   []Class
	Services  []Service
	Ingresses []Ingress
	Bindings  []Binding
}

// Find returns the fronts, sorted: no two have the same kind, name and Service.
func Find(o Objects) []Front {
	w := world{services: map[string]Service{}, targets: map[made]v1alpha1.FrontTargets{}, classes: classesOf(o.Classes)}
	for _, s := range o.Services {
		w.services[s.name] = s
	}
	for _, b := range o.Bindings {
		if b.madeFor != "" {
			w.targets[made{b.madeFor, b.service}] = b.targets()
		}
	}
	var found []Front
	for _, s := range o.Services {
		found = append(found, w.ofService(s)...)
	}
	for _, i := range o.Ingresses {
		found = append(found, w.ofIngress(i)...)
	}
	for _, b := range o.Bindings {
		found = append(found, w.ofBinding(b)...)
	}
	slices.SortFunc(found, compare)
	return slices.CompactFunc(found, func(a, b Front) bool { return compare(a, b) == 0 })
}

func compare(a, b Front) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name), strings.Compare(a.Service, b.Service))
}

// world is what there is, by name.
type world struct {
	services map[string]Service
	classes  classes
	// targets that the controller really registers, as its own
	// TargetGroupBindings tell.
	targets map[made]v1alpha1.FrontTargets
}

// made is for what the controller made a TargetGroupBinding.
type made struct {
	kind    v1alpha1.FrontKind
	service string
}

// targetsOf are those that the controller's own TargetGroupBinding tells, or
// else those that are given.
func (w world) targetsOf(kind v1alpha1.FrontKind, service string, otherwise v1alpha1.FrontTargets) v1alpha1.FrontTargets {
	return cmp.Or(w.targets[made{kind, service}], otherwise)
}

// targetsNamed reads a target type; empty where it is none.
func targetsNamed(targetType string) v1alpha1.FrontTargets {
	switch targetType {
	case "ip":
		return v1alpha1.FrontTargetsPods
	case "instance":
		return v1alpha1.FrontTargetsNodes
	}
	return ""
}
