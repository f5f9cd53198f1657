package framework

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Metrics are pages of the operator's replicas.
type Metrics []map[string]*dto.MetricFamily

// OperatorMetrics reads the metrics of all replicas, as somebody who may.
func (n *Namespace) OperatorMetrics(ctx context.Context) (pages Metrics) {
	GinkgoHelper()
	token := n.metricsToken(ctx)
	for _, pod := range n.operatorPods(ctx) {
		pages = append(pages, n.metricsOf(ctx, pod.Name, token))
	}
	Expect(pages).NotTo(BeEmpty())
	return pages
}

// metricsToken is one of a service account of the namespace that may read them.
func (n *Namespace) metricsToken(ctx context.Context) string {
	GinkgoHelper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: n.Name + "-", Labels: map[string]string{labelSuite: "true"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "drain-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: n.Name, Name: "default"}},
	}
	Expect(n.Client.Create(ctx, binding)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) error { return n.Client.Delete(ctx, binding) }, NodeTimeout(short))
	token, err := n.Kube.CoreV1().ServiceAccounts(n.Name).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return token.Status.Token
}

func (n *Namespace) metricsOf(ctx context.Context, pod, token string) map[string]*dto.MetricFamily {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	forward := exec.CommandContext(ctx, "kubectl", "port-forward", "-n", operatorNamespace, "pod/"+pod, ":8443")
	out, err := forward.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(forward.Start()).To(Succeed())
	defer func() { cancel(); _ = forward.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n') // Forwarding from 127.0.0.1:40123 -> 8443
	Expect(err).NotTo(HaveOccurred(), line)
	address := strings.Fields(line)[2]

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics", nil)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} //nolint:gosec // through the API server
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	Expect(response.StatusCode).To(Equal(http.StatusOK))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	page, err := parser.TextToMetricFamilies(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return page
}

// Sum adds up all series of a metric, of all replicas, that have these labels;
// of a histogram the number of observations.
func (m Metrics) Sum(name string, labels map[string]string) (sum float64) {
	for _, page := range m {
		for _, series := range page[name].GetMetric() {
			if hasLabels(series, labels) {
				sum += series.GetGauge().GetValue() + series.GetCounter().GetValue() + float64(series.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func hasLabels(series *dto.Metric, want map[string]string) bool {
	found := 0
	for _, l := range series.GetLabel() {
		if value, asked := want[l.GetName()]; asked {
			if value != l.GetValue() {
				return false
			}
			found++
		}
	}
	return found == len(want)
}

// Text shows the series of a prefix, for the report.
func (m Metrics) Text(prefix string) string {
	var b strings.Builder
	for i, page := range m {
		for name, family := range page {
			if strings.HasPrefix(name, prefix) {
				fmt.Fprintf(&b, "replica %d: %s\n", i, family)
			}
		}
	}
	return b.String()
}
