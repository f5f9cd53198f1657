package testenv

import (
	"cmp"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/drain-operator/drain-operator/internal/plan"
)

// operatorNamespace is where the operator's manifests put it.
const operatorNamespace = "drain-operator-system"

func (o Options) plan() plan.Options {
	options := plan.Options{
		AgentImage:         cmp.Or(o.AgentImage, AgentImage),
		Delivery:           plan.ImageVolume,
		AvoidEmptyDir:      !o.AllowEmptyDir,
		OperatorNamespace:  cmp.Or(o.OperatorNamespace, operatorNamespace),
		ExcludedNamespaces: sets.New(o.ExcludedNamespaces...),
	}
	if o.InitContainer {
		options.Delivery = plan.InitContainer
	}
	return options
}
