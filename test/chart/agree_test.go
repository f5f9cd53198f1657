package chart

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What the chart has beyond config/: helm does not remove a namespace, and so
// not what the operator writes into it; whoever wants a network policy with
// kustomize adds it; only helm has tests.
var chartOnly = []string{
	"Job drain-operator-release", "Lease drain-operator", "NetworkPolicy drain-operator", "Pod drain-operator-test", "Secret drain-operator-webhook-cert",
}

func key(o *unstructured.Unstructured) string { return o.GetKind() + " " + o.GetName() }

func TestChartAndKustomizeInstallTheSame(t *testing.T) {
	flags := operatorFlags(t)
	want, got := map[string]any{}, map[string]any{}
	for _, object := range kustomized(t) {
		if object.GetKind() != "Namespace" {
			want[key(object)] = bare(t, object, flags)
		}
	}
	for _, object := range mustTemplate(t, "default") {
		if !slices.Contains(chartOnly, key(object)) {
			got[key(object)] = bare(t, object, flags)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(either(want, got))) {
		if diff := cmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s (-config +chart):\n%s", name, diff)
		}
	}
}

func either(a, b map[string]any) map[string]any {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

func TestOnlyTheChartHas(t *testing.T) {
	both := map[string]bool{}
	for _, object := range kustomized(t) {
		both[key(object)] = true
	}
	var got []string
	for _, object := range mustTemplate(t, "default") {
		if !both[key(object)] {
			got = append(got, key(object))
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(chartOnly, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// bare is an object without what legitimately differs: labels that say
// who installed it, helm's policy on the CRD, images, and flags that say what
// the operator does anyway.
func bare(t *testing.T, object *unstructured.Unstructured, flags map[string]string) map[string]any {
	t.Helper()
	object = object.DeepCopy()
	object.SetLabels(functional(object.GetLabels()))
	annotations := object.GetAnnotations()
	delete(annotations, "helm.sh/resource-policy")
	object.SetAnnotations(annotations)
	if object.GetKind() != "Deployment" {
		return object.Object
	}
	template := object.Object["spec"].(map[string]any)["template"].(map[string]any)
	template["metadata"].(map[string]any)["labels"] = map[string]any{} // the selector is compared, and selects: see below
	args := flagsOf(t, object)
	delete(args, "agent-image")
	maps.DeleteFunc(args, func(name, value string) bool { return name != "" && sameValue(value, flags[name]) })
	c := container(t, object)
	c["args"], c["image"] = args, ""
	delete(c, "imagePullPolicy") // the API server's default, for a tag
	template["spec"].(map[string]any)["containers"] = []any{c}
	return object.Object
}

// functional labels are those that something reads.
func functional(labels map[string]string) map[string]string {
	labels = maps.Clone(labels)
	maps.DeleteFunc(labels, func(name, _ string) bool {
		return strings.HasPrefix(name, "app.kubernetes.io/") || name == "helm.sh/chart"
	})
	return labels
}

func TestSelectorsSelectTheOperatorAndNothingElse(t *testing.T) {
	rendered := mustTemplate(t, "everything")
	labels, _, err := unstructured.NestedStringMap(find(t, rendered, "Deployment", "drain-operator").Object, "spec", "template", "metadata", "labels")
	if err != nil {
		t.Fatal(err)
	}
	test := find(t, rendered, "Pod", "drain-operator-test").GetLabels()
	for object, path := range map[string][]string{
		"Deployment drain-operator":          {"spec", "selector", "matchLabels"},
		"PodDisruptionBudget drain-operator": {"spec", "selector", "matchLabels"},
		"NetworkPolicy drain-operator":       {"spec", "podSelector", "matchLabels"},
		"Service drain-operator-webhook":     {"spec", "selector"},
		"Service drain-operator-metrics":     {"spec", "selector"},
	} {
		kind, name, _ := strings.Cut(object, " ")
		selector, found, err := unstructured.NestedStringMap(find(t, rendered, kind, name).Object, path...)
		if !found || err != nil {
			t.Fatalf("%s has no selector: %v", object, err)
		}
		for label, value := range selector {
			if labels[label] != value {
				t.Errorf("%s selects %s=%s, the operator has %q", object, label, value, labels[label])
			}
		}
		if test["app.kubernetes.io/name"] == selector["app.kubernetes.io/name"] {
			t.Errorf("%s selects the test's pod", object)
		}
	}
}
