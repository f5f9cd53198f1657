package chart

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drain-operator/drain-operator/internal/registration"
)

// foreignMetrics are those of alerts that are not our own: of controller-runtime,
// of the API server.
var foreignMetrics = []string{"leader_election_master_status", "apiserver_admission_webhook_fail_open_count"}

// An alert on a metric that nobody has never fires.
func TestAlertsAskForMetricsThatThereAre(t *testing.T) {
	documented := documentedMetrics(t)
	alerts := alerts(t)
	if len(alerts) < 8 {
		t.Errorf("only %d alerts", len(alerts))
	}
	for _, alert := range alerts {
		name := alert["alert"].(string)
		expression, err := parser.ParseExpr(alert["expr"].(string))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, selector := range parser.ExtractSelectors(expression) {
			for _, matcher := range selector {
				known := slices.Contains(foreignMetrics, matcher.Value) || slices.Contains(documented, matcher.Value)
				if matcher.Name == "__name__" && !known {
					t.Errorf("%s asks for %s, which docs/metrics.md does not know", name, matcher.Value)
				}
			}
		}
	}
}

// A webhook that no alert is about could be gone for long.
func TestAnAlertSeesEachWebhookUnanswered(t *testing.T) {
	all := registration.Registration{
		Bundle: []byte("ca"), Namespaces: []string{"a"}, EvictionNamespaces: []string{"a"}, GateNamespaces: []string{"a"},
	}
	var names []string
	for _, webhook := range all.Configuration().Webhooks {
		names = append(names, *webhook.Name)
	}
	for _, webhook := range all.Gate().Webhooks {
		names = append(names, *webhook.Name)
	}
	seen := map[string]bool{}
	for _, alert := range alerts(t) {
		expression, err := parser.ParseExpr(alert["expr"].(string))
		if err != nil {
			t.Fatal(err)
		}
		for _, selector := range parser.ExtractSelectors(expression) {
			if !slices.ContainsFunc(selector, func(m *labels.Matcher) bool {
				return m.Name == "__name__" && m.Value == "apiserver_admission_webhook_fail_open_count"
			}) {
				continue
			}
			for _, matcher := range selector {
				for _, name := range names {
					seen[name] = seen[name] || matcher.Name == "name" && matcher.Matches(name)
				}
			}
		}
	}
	if len(names) != 4 {
		t.Errorf("webhooks: %v", names)
	}
	for _, name := range names {
		if !seen[name] {
			t.Errorf("no alert sees that %s is not answered", name)
		}
	}
}

func TestAlertsLeadToRunbooks(t *testing.T) {
	for _, alert := range alerts(t) {
		annotations := alert["annotations"].(map[string]any)
		url := annotations["runbook_url"].(string)
		_, name, found := strings.Cut(url, "/docs/runbooks/")
		if _, err := os.Stat(root + "/docs/runbooks/" + name); !found || err != nil {
			t.Errorf("%s: %s: %v", alert["alert"], url, err)
		}
		if annotations["summary"] == "" || annotations["description"] == "" {
			t.Errorf("%s says nothing", alert["alert"])
		}
		labels := alert["labels"].(map[string]any)
		if labels["severity"] == "" || labels["team"] != "platform" {
			t.Errorf("%s: labels %v", alert["alert"], labels)
		}
	}
}

func alerts(t *testing.T) []map[string]any {
	t.Helper()
	rule := find(t, mustTemplate(t, "everything"), "PrometheusRule", "drain-operator")
	groups, _, err := unstructured.NestedSlice(rule.Object, "spec", "groups")
	if err != nil {
		t.Fatal(err)
	}
	var alerts []map[string]any
	for _, group := range groups {
		for _, alert := range group.(map[string]any)["rules"].([]any) {
			alerts = append(alerts, alert.(map[string]any))
		}
	}
	return alerts
}

func documentedMetrics(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, heading := range regexp.MustCompile("(?m)^## `([a-z_]+)`$").FindAllStringSubmatch(string(text), -1) {
		names = append(names, heading[1])
	}
	return names
}
