package envtest

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/pkg/testenv"
)

// The team's manifests are those of the examples beside this one.
var workloads = []string{"abrupt", "sdk", "shutdown"}

func TestDrainPoliciesAreValid(t *testing.T) {
	for _, name := range workloads {
		t.Run(name, func(t *testing.T) {
			namespace(t, read[v1alpha1.DrainPolicy](t, "../"+name+"/drainpolicy.yaml"))
		})
	}
}

func TestAMistakeIsNamed(t *testing.T) {
	policy := read[v1alpha1.DrainPolicy](t, "../sdk/drainpolicy.yaml")
	policy.Namespace = namespace(t)
	policy.Spec.GracePeriod.MinSeconds, policy.Spec.GracePeriod.MaxSeconds = 300, 120

	err := cluster.Create(t.Context(), policy)

	if err == nil || !strings.Contains(err.Error(), "minSeconds") {
		t.Errorf("got %v, want an error that names the field", err)
	}
}

func TestPodsAreInjected(t *testing.T) {
	for _, name := range workloads {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t, read[v1alpha1.DrainPolicy](t, "../"+name+"/drainpolicy.yaml"))
			deployment := read[appsv1.Deployment](t, "../"+name+"/deployment.yaml")

			preview, err := webhooks.Preview(t.Context(), ns, deployment.Spec.Template)
			if err != nil {
				t.Fatal(err)
			}
			if preview.Result != testenv.Injected || preview.Policy != name {
				t.Fatalf("%s by %q %s", preview.Result, preview.Policy, preview.Reason)
			}
			for _, note := range preview.Notes {
				t.Errorf("%s %s: %s", note.Reason, note.Container, note.Message)
			}
			for _, container := range preview.After.Spec.Containers {
				if !runsAgent(container) {
					t.Errorf("container %s does not wait for the drain: %v", container.Name, container.Lifecycle)
				}
			}
			if grace := *preview.After.Spec.TerminationGracePeriodSeconds; grace < 60 {
				t.Errorf("%d s are less than what our longest requests take", grace)
			}
		})
	}
}

func runsAgent(c corev1.Container) bool {
	return c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Exec != nil
}

func TestMigrationsAreLeftAlone(t *testing.T) {
	ns := namespace(t, read[v1alpha1.DrainPolicy](t, "../sdk/drainpolicy.yaml"))
	template := read[appsv1.Deployment](t, "../sdk/deployment.yaml").Spec.Template
	template.Spec.RestartPolicy = corev1.RestartPolicyNever

	preview, err := webhooks.Preview(t.Context(), ns, template)
	if err != nil {
		t.Fatal(err)
	}
	if preview.Result != testenv.Excluded || preview.Reason != "RestartPolicy" || runsAgent(preview.After.Spec.Containers[0]) {
		t.Errorf("%s %s", preview.Result, preview.Reason)
	}
}
