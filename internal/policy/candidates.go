package policy

import (
	"maps"
	"slices"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// A namespace may have a thousand policies, of which a pod is selected by one
// or two. They are filed by a label that a pod must have for them to select
// it, so that those that may are found by the pod's labels.

// keyAny files policies that ask for no label by its value.
const keyAny = "*"

// Key is the key by which to file a policy. It is the first of its matchLabels
// by name: a pod that the policy selects has this one, too.
func Key(p *v1alpha1.DrainPolicy) string {
	if p.Spec.Selector == nil || len(p.Spec.Selector.MatchLabels) == 0 {
		return keyAny
	}
	name := slices.Min(slices.Collect(maps.Keys(p.Spec.Selector.MatchLabels)))
	return keyOf(name, p.Spec.Selector.MatchLabels[name])
}

// Keys are the keys under which all policies are filed that can select a pod
// with these labels, in no order.
func Keys(podLabels map[string]string) []string {
	keys := []string{keyAny}
	for name, value := range podLabels {
		keys = append(keys, keyOf(name, value))
	}
	return keys
}

// keyOf is unlike keyAny: names of labels have no asterisk.
func keyOf(name, value string) string { return name + "=" + value }
