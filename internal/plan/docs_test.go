package plan_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

// firstCells are the code words in the first column of a page's tables.
func firstCells(t *testing.T, page string) []string {
	t.Helper()
	var cells []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`|]+)` \\|").FindAllStringSubmatch(read(t, page), -1) {
		cells = append(cells, row[1])
	}
	return cells
}

func read(t *testing.T, page string) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestReasonsAreDocumented(t *testing.T) {
	documented := firstCells(t, "injection.md")
	for _, reason := range plan.NoteReasons {
		if !slices.Contains(documented, string(reason)) {
			t.Errorf("docs/injection.md has no row for the note %s", reason)
		}
	}
	for _, reason := range plan.Exclusions {
		if !slices.Contains(documented, string(reason)) {
			t.Errorf("docs/injection.md has no row for the exclusion %s", reason)
		}
	}
}

// TestEditingRows holds docs/editing.md to the fields that there are, and each
// row that says "next admission" to a plan that changes with the field.
func TestEditingRows(t *testing.T) {
	fields := leaves(reflect.TypeFor[v1alpha1.DrainPolicySpec](), "spec")
	rows := firstCells(t, "editing.md")
	if diff := cmp.Diff(sortedStrings(append(fields, "spec.gracePeriod.latency")), sortedStrings(rows)); diff != "" {
		t.Errorf("docs/editing.md does not have a row per field (-fields +rows):\n%s", diff)
	}
	for field, edit := range edits() {
		t.Run(field, func(t *testing.T) {
			if !strings.Contains(read(t, "editing.md"), "| `"+field+"` | next admission |") {
				t.Fatal("no such row")
			}
			before := utiltesting.MakePolicy("p").Notify(intstr.FromInt32(8080))
			if strings.HasPrefix(field, "spec.drainStatus.http") {
				before.HTTP(intstr.FromInt32(8080))
			} else {
				before.TCP(8080)
			}
			if strings.HasPrefix(field, "spec.longLived") {
				before.Spec.DrainStatus.TCP = nil
				before.HTTP(intstr.FromInt32(8080))
				before.Spec.LongLived = v1alpha1.LongLived{Policy: v1alpha1.LongLivedWait, NoticeSeconds: 10}
			}
			if field == "spec.gracePeriod.latency" {
				before.Spec.GracePeriod.Latency = &v1alpha1.Latency{}
				before.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: ptr.To[int32](200)}
			}
			after := utiltesting.PolicyWrapper{DrainPolicy: *before.Obj()}
			edit(&after.Spec)
			pod := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Port("http", 8080).Runs("gunicorn", "app:app")).
				Container(utiltesting.MakeContainer("b").Port("b", 9000).PreStopExec("true")).Grace(120).Obj()
			if cmp.Equal(planOf(before, pod), planOf(&after, pod)) {
				t.Error("the plan of the next pod is the same")
			}
		})
	}
	for _, field := range fields {
		elsewhere := field == "spec.selector" || field == "spec.mode" ||
			strings.HasPrefix(field, "spec.gate.") || strings.Contains(read(t, "editing.md"), "| `"+field+"` | next look |")
		if !elsewhere && edits()[field] == nil {
			t.Errorf("no edit of %s is tried", field)
		}
	}
}

func planOf(p *utiltesting.PolicyWrapper, pod *corev1.Pod) plan.Plan {
	return plan.Build(p.Obj(), pod, byInit)
}

// edits change one field each. Which new pods spec.selector and spec.mode
// concern is tested in package policy; what spec.gate does to pods that run, in
// package drain; what a recommendation is made of, in packages grace and observe.
func edits() map[string]func(*v1alpha1.DrainPolicySpec) {
	type spec = v1alpha1.DrainPolicySpec
	metric := func(s *spec) *v1alpha1.MetricSelector {
		s.DrainStatus.HTTP.Metric = &v1alpha1.MetricSelector{}
		return s.DrainStatus.HTTP.Metric
	}
	return map[string]func(*spec){
		"spec.drainStatus.http.port":               func(s *spec) { s.DrainStatus.HTTP.Port = intstr.FromInt32(9000) },
		"spec.drainStatus.http.path":               func(s *spec) { s.DrainStatus.HTTP.Path = "/other" },
		"spec.drainStatus.http.scheme":             func(s *spec) { s.DrainStatus.HTTP.Scheme = v1alpha1.SchemeHTTPS },
		"spec.drainStatus.http.timeoutSeconds":     func(s *spec) { s.DrainStatus.HTTP.TimeoutSeconds = 9 },
		"spec.drainStatus.http.periodSeconds":      func(s *spec) { s.DrainStatus.HTTP.PeriodSeconds = 9 },
		"spec.drainStatus.http.drainedWhen":        func(s *spec) { s.DrainStatus.HTTP.DrainedWhen = v1alpha1.DrainedWhenStatusCode },
		"spec.drainStatus.http.metric.name":        func(s *spec) { metric(s).Name = "in_flight" },
		"spec.drainStatus.http.metric.matchLabels": func(s *spec) { metric(s).MatchLabels = map[string]string{"a": "b"} },
		"spec.drainStatus.tcp.ports":               func(s *spec) { s.DrainStatus.TCP.Ports = []int32{9000} },
		"spec.drainStatus.tcp.idleSeconds":         func(s *spec) { s.DrainStatus.TCP.IdleSeconds = 9 },
		"spec.preStop.strategy":                    func(s *spec) { s.PreStop.Strategy = v1alpha1.StrategySleep },
		"spec.preStop.existingHook":                func(s *spec) { s.PreStop.ExistingHook = v1alpha1.ExistingHookRunFirst },
		"spec.preStop.releaseWhen":                 func(s *spec) { s.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation },
		"spec.preStop.propagationSeconds":          func(s *spec) { s.PreStop.PropagationSeconds = ptr.To[int32](9) },
		"spec.preStop.propagationMaxSeconds":       func(s *spec) { s.PreStop.PropagationMaxSeconds = 9 },
		"spec.preStop.maxHoldSeconds":              func(s *spec) { s.PreStop.MaxHoldSeconds = ptr.To[int32](9) },
		"spec.preStop.stopSignal":                  func(s *spec) { s.PreStop.StopSignal = v1alpha1.StopSignalQUIT },
		"spec.preStop.notify.port":                 func(s *spec) { s.PreStop.Notify.Port = intstr.FromInt32(9000) },
		"spec.preStop.notify.path":                 func(s *spec) { s.PreStop.Notify.Path = "/other" },
		"spec.longLived.policy":                    func(s *spec) { s.LongLived.Policy = v1alpha1.LongLivedCloseAfter },
		"spec.longLived.noticeSeconds":             func(s *spec) { s.LongLived.NoticeSeconds = 20 },
		"spec.gracePeriod.minSeconds":              func(s *spec) { s.GracePeriod.MinSeconds = 500 },
		"spec.gracePeriod.maxSeconds":              func(s *spec) { s.GracePeriod.MaxSeconds = 60 },
		"spec.gracePeriod.latency":                 func(s *spec) { s.GracePeriod.Latency = nil },
		"spec.gracePeriod.serverTimeout":           func(s *spec) { s.GracePeriod.ServerTimeout = v1alpha1.ServerTimeoutAlign },
		"spec.gracePeriod.shutdownSeconds":         func(s *spec) { s.GracePeriod.ShutdownSeconds = ptr.To[int32](9) },
	}
}

// leaves are the JSON paths of a struct's fields that are no structs of the API.
func leaves(of reflect.Type, path string) []string {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of == reflect.TypeFor[metav1.LabelSelector]() || of == reflect.TypeFor[intstr.IntOrString]() {
		return []string{path}
	}
	var found []string
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		found = append(found, leaves(of.Field(i).Type, path+"."+name)...)
	}
	return found
}

func sortedStrings(list []string) []string {
	return slices.Sorted(slices.Values(list))
}
