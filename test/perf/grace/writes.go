package grace

import (
	"context"
	"fmt"
	"slices"

	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf/binary"
)

// written are the resources that the operator writes, its lease aside, by verbs.
var (
	written = []string{"drainpolicies", "events", "pods", "nodes", "secrets", "mutatingwebhookconfigurations"}
	verbs   = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
)

// writes is how often the API server was asked to change one of these, dry
// runs aside, by what was asked and answered.
func writes(ctx context.Context, env *framework.Environment) (map[string]float64, error) {
	client, err := restClient(env.Config)
	if err != nil {
		return nil, err
	}
	body, err := client.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	m, err := binary.ParsePage(string(body))
	if err != nil {
		return nil, err
	}
	counts := map[string]float64{}
	for _, sample := range m["apiserver_request_total"].GetMetric() {
		label := map[string]string{}
		for _, pair := range sample.Label {
			label[pair.GetName()] = pair.GetValue()
		}
		if slices.Contains(verbs, label["verb"]) && slices.Contains(written, label["resource"]) && label["dry_run"] == "" {
			counts[fmt.Sprintf("%s %s/%s: %s", label["verb"], label["resource"], label["subresource"], label["code"])] += sample.GetCounter().GetValue()
		}
	}
	return counts, nil
}
