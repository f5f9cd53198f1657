package framework

import (
	"context"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// WebhookCalls is how often the API server has called the injection webhook
// since it started, by its own count.
func (e *Env) WebhookCalls(ctx context.Context) int {
	GinkgoHelper()
	page, err := e.Kube.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	calls := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "apiserver_admission_webhook_admission_duration_seconds_count{") || !strings.Contains(line, `name="inject.drain-operator.dev"`) {
			continue
		}
		fields := strings.Fields(line)
		n, err := strconv.Atoi(fields[len(fields)-1])
		Expect(err).NotTo(HaveOccurred(), line)
		calls += n
	}
	return calls
}
