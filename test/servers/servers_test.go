package servers

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/drain-operator/drain-operator/config/samples"
)

// The files of every server are embedded, and its policy is there, selects its
// pods and is called as it is.
func TestCatalogIsWhole(t *testing.T) {
	for _, s := range All() {
		for name, s := range map[string]Server{s.Name: s, s.Name + ", bare": s.Bare()} {
			objects := s.Objects("shop", "image", 3)
			deployment := objects[len(objects)-1].(*appsv1.Deployment)
			policy, err := s.Policy("shop")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			selector, err := metav1.LabelSelectorAsSelector(policy.Spec.Selector)
			if err != nil || !selector.Matches(labels.Set(deployment.Spec.Template.Labels)) {
				t.Errorf("%s: the policy selects %v, %v", name, policy.Spec.Selector, err)
			}
			if policy.Name != s.Name || policy.Namespace != "shop" {
				t.Errorf("%s: the policy is %s/%s", name, policy.Namespace, policy.Name)
			}
		}
	}
}

func TestEveryPolicyHasItsServer(t *testing.T) {
	entries, err := samples.Servers.ReadDir("servers")
	if err != nil {
		t.Fatal(err)
	}
	var policies, names []string
	for _, entry := range entries {
		policies = append(policies, entry.Name())
	}
	for _, s := range All() {
		names = append(names, s.Name+".yaml")
	}
	slices.Sort(names)
	if !slices.Equal(policies, names) {
		t.Errorf("policies %v, servers %v", policies, names)
	}
}

func TestByName(t *testing.T) {
	if s, err := ByName("nginx"); err != nil || s.Name != "nginx" {
		t.Errorf("got %q, %v", s.Name, err)
	}
	if _, err := ByName("apache"); err == nil {
		t.Error("there is no such server")
	}
}
