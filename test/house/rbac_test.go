package house

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// The rights of the operator and of people, as config/rbac grants them.

// right is one verb on one resource.
type right struct {
	// Role is its kind and name.
	Role string
	// Resource is resource.group/subresource, or the path of a URL.
	Resource string
	// Name is the only object that is meant; empty for all.
	Name string
	Verb string
}

// operators are the roles that are bound to the operator itself.
var operators = []string{"ClusterRole drain-operator", "Role drain-operator"}

func TestRightsAreDocumented(t *testing.T) {
	if diff := cmp.Diff(granted(t), documented(t)); diff != "" {
		t.Errorf("what config/rbac grants and docs/security.md justifies (-granted +documented):\n%s", diff)
	}
}

// Whatever the operator may write, cluster-wide and in its namespace. Each
// line was thought about: think before you add one.
func TestTheOperatorWritesLittle(t *testing.T) {
	want := []right{
		{"ClusterRole drain-operator", "drainpolicies.drain-operator.dev/status", "", "update"},
		{"ClusterRole drain-operator", "events.events.k8s.io", "", "create"},
		{"ClusterRole drain-operator", "events.events.k8s.io", "", "patch"},
		{"ClusterRole drain-operator", "mutatingwebhookconfigurations.admissionregistration.k8s.io", "", "create"},
		{"ClusterRole drain-operator", "mutatingwebhookconfigurations.admissionregistration.k8s.io", "drain-operator-inject", "patch"},
		{"ClusterRole drain-operator", "pods", "", "create"},
		{"ClusterRole drain-operator", "pods", "", "delete"},
		{"ClusterRole drain-operator", "pods/eviction", "", "create"},
		{"ClusterRole drain-operator", "pods/status", "", "patch"},
		{"ClusterRole drain-operator", "subjectaccessreviews.authorization.k8s.io", "", "create"},
		{"ClusterRole drain-operator", "tokenreviews.authentication.k8s.io", "", "create"},
		{"ClusterRole drain-operator", "validatingwebhookconfigurations.admissionregistration.k8s.io", "", "create"},
		{"ClusterRole drain-operator", "validatingwebhookconfigurations.admissionregistration.k8s.io", "drain-operator-gate", "patch"},
		{"Role drain-operator", "events", "", "create"},
		{"Role drain-operator", "events", "", "patch"},
		{"Role drain-operator", "events.events.k8s.io", "", "create"},
		{"Role drain-operator", "events.events.k8s.io", "", "patch"},
		{"Role drain-operator", "leases.coordination.k8s.io", "", "create"},
		{"Role drain-operator", "leases.coordination.k8s.io", "drain-operator", "update"},
		{"Role drain-operator", "leases.coordination.k8s.io", "drain-operator-releasing", "update"},
		{"Role drain-operator", "secrets", "", "create"},
		{"Role drain-operator", "secrets", "drain-operator-webhook-cert", "update"},
	}
	var got []right
	for _, r := range granted(t) {
		if slices.Contains(operators, r.Role) && !slices.Contains([]string{"get", "list", "watch"}, r.Verb) {
			got = append(got, r)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the operator may write (-want +got):\n%s", diff)
	}
}

func TestNoRightOfTheOperatorIsTooWide(t *testing.T) {
	for _, r := range granted(t) {
		if !slices.Contains(operators, r.Role) {
			continue
		}
		resource, subresource, _ := strings.Cut(r.Resource, "/")
		switch {
		case strings.Contains(r.Resource, "*") || r.Verb == "*" || r.Name == "*":
			t.Errorf("%+v: a wildcard", r)
		case resource == "secrets" && r.Role != "Role drain-operator":
			t.Errorf("%+v: Secrets of other namespaces", r)
		case resource == "secrets" && r.Verb != "create" && r.Name == "":
			t.Errorf("%+v: Secrets of others", r)
		case strings.Contains(resource, "webhookconfigurations.") && r.Verb != "create" && r.Name == "":
			t.Errorf("%+v: webhooks of others", r)
		case subresource != "" && subresource != "status" && r.Resource != "pods/eviction":
			t.Errorf("%+v: exec, proxy, tokens and the like", r)
		case (strings.HasSuffix(resource, ".apps") || strings.HasSuffix(resource, ".batch")) && !slices.Contains([]string{"get", "list"}, r.Verb):
			t.Errorf("%+v: workloads are their owners'", r)
		case r.Verb == "delete" && r.Resource != "pods":
			t.Errorf("%+v: it ends pods, nothing else", r)
		case slices.Contains([]string{"bind", "escalate", "impersonate", "deletecollection"}, r.Verb):
			t.Errorf("%+v: a verb that it has no use for", r)
		}
	}
}

// What the operator may not write to a pod's status is a list, since CEL cannot
// say "all but": a field that is new in Kubernetes must be added to it.
func TestTheAdmissionPolicyKnowsAllOfAPodsStatus(t *testing.T) {
	policy, err := os.ReadFile("../../config/rbac/admission_policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for field := range reflect.TypeFor[corev1.PodStatus]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if want := "object.status.?" + name + " == oldObject.status.?" + name; name != "conditions" && !bytes.Contains(policy, []byte(want)) {
			t.Errorf("the admission policy lets the operator write %s of a pod's status", name)
		}
	}
}

// granted are the rights in config/rbac, sorted.
func granted(t *testing.T) []right {
	t.Helper()
	var all []right
	files, err := filepath.Glob("../../config/rbac/*role*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../../config/rbac/metrics_reader.yaml") {
		for _, role := range roles(t, file) {
			for _, rule := range role.Rules {
				all = append(all, rights(role.Kind+" "+role.Name, rule)...)
			}
		}
	}
	return sorted(all)
}

// roles of a file; bindings are passed over.
func roles(t *testing.T, file string) []rbacv1.ClusterRole {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []rbacv1.ClusterRole
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		var role rbacv1.ClusterRole
		if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if strings.HasSuffix(role.Kind, "Role") {
			found = append(found, role)
		}
	}
}

func rights(role string, rule rbacv1.PolicyRule) []right {
	var all []right
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	for _, verb := range rule.Verbs {
		for _, url := range rule.NonResourceURLs {
			all = append(all, right{Role: role, Resource: url, Verb: verb})
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, name := range names {
					all = append(all, right{role, qualified(resource, group), name, verb})
				}
			}
		}
	}
	return all
}

func qualified(resource, group string) string {
	if group == "" {
		return resource
	}
	resource, subresource, has := strings.Cut(resource, "/")
	if !has {
		return resource + "." + group
	}
	return resource + "." + group + "/" + subresource
}

// documented are the rights in the tables of docs/security.md that begin with
// a role, sorted. A row without a reason documents nothing.
func documented(t *testing.T) []right {
	t.Helper()
	content, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []right
	for line := range strings.Lines(string(content)) {
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		if kind, _, _ := strings.Cut(cells[0], " "); len(cells) != 5 || !strings.HasSuffix(kind, "Role") || cells[4] == "" {
			continue
		}
		for verb := range strings.SplitSeq(cells[3], ", ") {
			all = append(all, right{Role: cells[0], Resource: cells[1], Name: cells[2], Verb: verb})
		}
	}
	return sorted(all)
}

// sorted also drops doubles.
func sorted(all []right) []right {
	slices.SortFunc(all, func(a, b right) int {
		return strings.Compare(a.Role+" "+a.Resource+" "+a.Name+" "+a.Verb, b.Role+" "+b.Resource+" "+b.Name+" "+b.Verb)
	})
	return slices.Compact(all)
}
