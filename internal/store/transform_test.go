package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/test/corpus"
)

// What is cached of a pod must lead to the same exclusions as the pod itself.
func TestTrimmedPodsAreExcludedAlike(t *testing.T) {
	cases, err := corpus.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		trimmed, err := TrimPod(c.Pod.DeepCopy())
		if err != nil {
			t.Fatal(err)
		}
		want, _ := plan.Exclude(c.Pod, "shop", plan.Options{})
		if got, _ := plan.Exclude(trimmed.(*corev1.Pod), "shop", plan.Options{}); got != want {
			t.Errorf("%s: got %q, want %q", c.Name, got, want)
		}
		again, err := TrimPod(trimmed.(*corev1.Pod).DeepCopy())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(trimmed, again); diff != "" {
			t.Errorf("%s: trimming twice changes (-once +twice):\n%s", c.Name, diff)
		}
	}
}

func TestTrimmedNodesDecideAlike(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"a": "b", "spot": "no"}}}
	node.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", KubeletVersion: "v1.36.3", ContainerRuntimeVersion: "containerd://2.3.7", BootID: "x"}
	node.Status.Images = []corev1.ContainerImage{{Names: []string{"large"}}}
	trimmed, err := TrimNode(condition.Ceilings{Notices: []condition.Notice{{Label: "spot", Value: "yes", Seconds: 30}}})(node)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"spot": "no"}}}
	want.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", KubeletVersion: "v1.36.3", ContainerRuntimeVersion: "containerd://2.3.7"}
	if diff := cmp.Diff(want, trimmed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTrimToleratesWhatIsNoObject(t *testing.T) {
	for name, trim := range map[string]func(any) (any, error){"any": Trim, "pod": TrimPod, "node": TrimNode(condition.Ceilings{})} {
		if got, err := trim("tombstone"); err != nil || got != "tombstone" {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}
