package telemetry

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/eviction"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const page = "../../docs/metrics.md"

func TestPageIsUpToDate(t *testing.T) {
	if *update {
		if err := os.WriteFile(page, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Page(), string(written)); diff != "" {
		t.Errorf("%s is not what the definitions say (-definitions +page); run go test ./internal/telemetry -update\n%s", page, diff)
	}
}

// series are the names and labels of all that a registry holds.
func series(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			found[family.GetName()+labelled(m)] = value(m)
		}
	}
	return found
}

func labelled(m *dto.Metric) string {
	var text strings.Builder
	for _, l := range m.Label {
		text.WriteString(" " + l.GetName() + "=" + l.GetValue())
	}
	return text.String()
}

// value of a counter or gauge, count of a histogram.
func value(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
}

func TestSeriesOfAPolicyGoWithIt(t *testing.T) {
	registry := prometheus.NewRegistry()
	r, err := NewDrains(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range []string{"web", "gone"} {
		r.Drained("shop", policy, v1alpha1.DrainRecord{Outcome: v1alpha1.OutcomeDrained, Cause: v1alpha1.CauseHoldEnded, DurationSeconds: 7})
		r.Drained("shop", policy, v1alpha1.DrainRecord{Outcome: v1alpha1.OutcomeUnknown, Cause: v1alpha1.CauseEndNotObserved})
		r.Draining("shop", policy, 3)
	}
	r.Dropped()

	r.Forget("shop", "gone")

	want := map[string]float64{
		"drain_operator_drains_total namespace=shop outcome=Drained policy=web": 1,
		"drain_operator_drains_total namespace=shop outcome=Unknown policy=web": 1,
		"drain_operator_drain_duration_seconds namespace=shop policy=web":       1,
		"drain_operator_draining_pods namespace=shop policy=web":                3,
		"drain_operator_drain_records_dropped_total":                            1,
	}
	if diff := cmp.Diff(want, series(t, registry)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// Every series is there before the first eviction.
func TestEvictions(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := NewEvictions(registry)
	if err != nil {
		t.Fatal(err)
	}
	m.Record(eviction.Answer{Result: eviction.ResultLengthened, GraceSeconds: 60})
	want := map[string]float64{}
	for _, result := range eviction.Results {
		want[evictions.Name+" result="+string(result)] = 0
	}
	want[evictions.Name+" result=Lengthened"] = 1
	if diff := cmp.Diff(want, series(t, registry)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if _, err := NewEvictions(registry); err == nil {
		t.Error("a second registration did not fail")
	}
}

func TestRegisteringTwiceFails(t *testing.T) {
	registry := prometheus.NewRegistry()
	if _, err := NewDrains(registry); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDrains(registry); err == nil {
		t.Error("a second registration did not fail")
	}
}

// What is refused or lost is there before it first happens.
func TestGateAnswers(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := NewGateAnswers(registry, "Written", "Dropped")
	if err != nil {
		t.Fatal(err)
	}
	m.Answered(drain.Delete, drain.RefusedNotDrained)
	m.Answered(drain.Evict, drain.AllowedDrained)
	m.Recorded("Written")
	want := map[string]float64{
		gateRequests.Name + " kind=Delete reason=NotDrained": 1,
		gateRequests.Name + " kind=Delete reason=Failed":     0,
		gateRequests.Name + " kind=Evict reason=NotDrained":  0,
		gateRequests.Name + " kind=Evict reason=Failed":      0,
		gateRequests.Name + " kind=Evict reason=Drained":     1,
		gateRecords.Name + " result=Written":                 1,
		gateRecords.Name + " result=Dropped":                 0,
	}
	if diff := cmp.Diff(want, series(t, registry)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if _, err := NewGateAnswers(registry); err == nil {
		t.Error("a second registration did not fail")
	}
}

func TestProbes(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := NewProbes(registry)
	if err != nil {
		t.Fatal(err)
	}
	policy := types.NamespacedName{Namespace: "shop", Name: "web"}
	m.Asked(policy, drainstatus.Reading{State: drainstatus.Busy}, time.Millisecond)
	m.Asked(policy, drainstatus.Reading{State: drainstatus.Busy}, time.Millisecond)
	m.Asked(policy, drainstatus.NotReadable("no answer"), time.Second)
	want := map[string]float64{
		probeResults.Name + " result=Busy":       2,
		probeResults.Name + " result=Unreadable": 1,
		probeDuration.Name:                       3,
	}
	if diff := cmp.Diff(want, series(t, registry)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if _, err := NewProbes(registry); err == nil {
		t.Error("a second registration did not fail")
	}
}

func TestCertificateIsTheOneShownNow(t *testing.T) {
	registry := prometheus.NewRegistry()
	var until time.Time
	err := RegisterCertificate(registry, func() (time.Time, time.Time, bool) { return until.Add(-time.Hour), until, !until.IsZero() })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{}, series(t, registry)); diff != "" {
		t.Errorf("before there is one (-want +got):\n%s", diff)
	}
	for _, unix := range []int64{3600, 7200} {
		until = time.Unix(unix, 0)
		want := map[string]float64{certificateNotBefore.Name: float64(unix - 3600), certificateNotAfter.Name: float64(unix)}
		if diff := cmp.Diff(want, series(t, registry)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
