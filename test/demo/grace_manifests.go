package demo

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

// labelCell tells the pods of one cell from those of all others on the node.
const labelCell = "drain-operator.dev/demo-cell"

// leakyArg makes the example's counter leak when it is asked to.
const leakyArg = "-leaky"

// AdaptGrace makes the objects those of a cell of the chapter on the grace
// period. All cells have the example's policy, and differ in the grace alone.
// The pods are on one node, which is going to be drained.
func (m Manifests) AdaptGrace(namespace, node string, s Setting, c Config) (Manifests, error) {
	c.Replicas = c.Grace.Replicas
	out := m.Adapt(namespace, Policy, c)
	template := &out.Deployment.Spec.Template
	template.Labels[labelCell] = string(s)
	template.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": node}
	app := &template.Spec.Containers[0]
	app.Args = append(app.Args, leakyArg)
	var err error
	switch s {
	case Usual:
		err = fixGrace(out.Policy, usualSeconds)
	case Short:
		// The operator shortens no pod's grace without measurements: it is the
		// owner who does.
		template.Spec.TerminationGracePeriodSeconds = ptr.To[int64](shortSeconds)
		err = fixGrace(out.Policy, shortSeconds)
	case Tuned:
		err = hurry(out.Policy, c.Grace.WindowSeconds)
	default:
		err = fmt.Errorf("unknown setting %q", s)
	}
	return out, err
}

// fixGrace lets nothing change the grace.
func fixGrace(policy *unstructured.Unstructured, seconds int64) error {
	unstructured.RemoveNestedField(policy.Object, "spec", "gracePeriod", "latency")
	return setGrace(policy, map[string]int64{"minSeconds": seconds, "maxSeconds": seconds})
}

// hurry has the operator look back no further than it must, and lets it lower
// the grace at once: by default it takes an hour to be sure.
func hurry(policy *unstructured.Unstructured, windowSeconds int64) error {
	return setGrace(policy, map[string]int64{"windowSeconds": windowSeconds, "stabilizationWindowSeconds": 0})
}

func setGrace(policy *unstructured.Unstructured, fields map[string]int64) error {
	for name, seconds := range fields {
		if err := unstructured.SetNestedField(policy.Object, seconds, "spec", "gracePeriod", name); err != nil {
			return fmt.Errorf("policy %s: %w", policy.GetName(), err)
		}
	}
	return nil
}
