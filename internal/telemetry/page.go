package telemetry

import (
	"fmt"
	"strings"
)

// Page is docs/metrics.md.
func Page() string {
	var b strings.Builder
	b.WriteString("# Metrics\n\n<!-- Generated from internal/telemetry by `go test ./internal/telemetry -update`; do not edit. -->\n\n" +
		"Served with those of Go and controller-runtime. Series that carry a policy's name go when the policy goes.\n")
	for _, d := range Definitions {
		fmt.Fprintf(&b, "\n## `%s`\n\n%s\n\n- type: %s\n", d.Name, d.Help, d.Kind)
		if len(d.Labels) > 0 {
			fmt.Fprintf(&b, "- labels: `%s`\n", strings.Join(d.Labels, "`, `"))
		}
		if d.Notes != "" {
			fmt.Fprintf(&b, "\n%s\n", d.Notes)
		}
	}
	return b.String()
}
