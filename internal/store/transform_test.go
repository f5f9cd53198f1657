package store

import (
	"runtime"
	"testing"
	"weak"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/server"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
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

// A pod that claims one of its node's addresses must be told by all of them.
func TestTrimmedPodsKeepTheNodesAddresses(t *testing.T) {
	pod := testbuild.MakePod("a").Obj()
	pod.Status.HostIP = "192.0.2.1"
	pod.Status.HostIPs = []corev1.HostIP{{IP: "192.0.2.1"}, {IP: "2001:db8::1"}}
	trimmed, err := TrimPod(pod.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pod.Status.HostIPs, trimmed.(*corev1.Pod).Status.HostIPs); diff != "" {
		t.Errorf("(-pod +trimmed):\n%s", diff)
	}
}

// What is cached of a pod must lead to the same grace as the pod itself, before
// and after it was injected: evictions are answered from it.
func TestTrimmedPodsHaveTheSameGrace(t *testing.T) {
	cases, err := corpus.Load()
	if err != nil {
		t.Fatal(err)
	}
	measured := testbuild.MakePolicy("web").With(func(s *v1alpha1.DrainPolicySpec) {
		s.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{}}
	}).Obj()
	measured.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: ptr.To[int32](77)}
	policies := map[string]*v1alpha1.DrainPolicy{
		"defaults":     testbuild.MakePolicy("web").Obj(),
		"measured":     measured,
		"replaces":     testbuild.MakePolicy("web").ExistingHook(v1alpha1.ExistingHookReplace).Obj(),
		"runs last":    testbuild.MakePolicy("web").ExistingHook(v1alpha1.ExistingHookRunLast).Obj(),
		"sleeps":       testbuild.MakePolicy("web").Strategy(v1alpha1.StrategySleep).Obj(),
		"injects none": testbuild.MakePolicy("web").Strategy(v1alpha1.StrategyNone).Obj(),
	}
	for _, c := range cases {
		for name, p := range policies {
			options := plan.Options{AgentImage: "agent@sha256:0", Delivery: plan.InitContainer}
			whole := plan.Build(p, c.Pod, options)
			for state, pod := range map[string]*corev1.Pod{"as it was": c.Pod, "injected": plan.Apply(whole, c.Pod)} {
				trimmed, err := TrimPod(pod.DeepCopy())
				if err != nil {
					t.Fatal(err)
				}
				if got := plan.GraceNow(p, trimmed.(*corev1.Pod)); got != whole.GraceSeconds {
					t.Errorf("%s, %s, %s: got %d s, want %d s", c.Name, name, state, got, whole.GraceSeconds)
				}
			}
		}
	}
}

// Pods of one owner share what is equal, are the same to whoever reads them,
// and keep no other pod alive.
func TestPodsShareTheirTemplate(t *testing.T) {
	trim := PodTrim()
	cached := func(name, owner, image string) *corev1.Pod {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"app": "web"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: owner, UID: types.UID(owner), Controller: ptr.To(true)}},
		}}
		pod.Spec.Containers = []corev1.Container{{Name: "app", Image: image}}
		want := pod.DeepCopy()
		got, err := trim(pod)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s is another one (-want +got):\n%s", name, diff)
		}
		return got.(*corev1.Pod)
	}
	first, second := cached("a", "rs-1", "web:1"), cached("b", "rs-1", "web:1")
	edited, stranger := cached("c", "rs-1", "web:2"), cached("d", "rs-2", "web:1")
	if &first.Spec.Containers[0] != &second.Spec.Containers[0] {
		t.Error("equal containers of one owner are kept twice")
	}
	for name, other := range map[string]*corev1.Pod{"edited": edited, "another owner's": stranger} {
		if &first.Spec.Containers[0] == &other.Spec.Containers[0] {
			t.Errorf("containers of %s are shared", name)
		}
	}
	gone := weak.Make(cached("e", "rs-3", "web:1"))
	runtime.GC()
	if gone.Value() != nil {
		t.Error("a pod that nobody has is kept")
	}
}

// What holds and frees a pod is read from what is cached of it: its gates, its
// conditions whole, since when it runs and where it answers.
func TestTrimmedPodsTellWhetherTheyAreHeld(t *testing.T) {
	at := metav1.Unix(1_000_000, 0)
	pod := testbuild.MakePod("a").ReadinessGates("example.com/lb", v1alpha1.PodInRotation).
		Container(testbuild.MakeContainer("web").Port("http", 8080)).Obj()
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &at, PodIP: "192.0.2.7", HostIP: "192.0.2.1",
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at, ObservedGeneration: 1},
			{Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, Reason: "InRotation", LastTransitionTime: at},
			{Type: v1alpha1.PodDeletionRequested, Status: corev1.ConditionTrue, Reason: "Delete", Message: `{"by":"me"}`, LastTransitionTime: at, LastProbeTime: at},
			{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager"},
		},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true, Started: ptr.To(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}}},
	}
	trimmed, err := TrimPod(pod.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pod, trimmed); diff != "" {
		t.Errorf("(-pod +trimmed):\n%s", diff)
	}
}

func TestTrimmedNamespacesTellWhetherTheyEnd(t *testing.T) {
	at := metav1.Unix(1_000_000, 0)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", UID: "1", ResourceVersion: "7", DeletionTimestamp: &at,
		Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"large": "one"}, Finalizers: []string{"f"},
	}}
	namespace.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating, Conditions: []corev1.NamespaceCondition{{Message: "large"}}}
	trimmed, err := TrimNamespace(namespace)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "1", ResourceVersion: "7", DeletionTimestamp: &at}}
	want.Status.Phase = corev1.NamespaceTerminating
	if diff := cmp.Diff(want, trimmed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
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
	for name, trim := range map[string]func(any) (any, error){"any": Trim, "pod": TrimPod, "namespace": TrimNamespace, "node": TrimNode(condition.Ceilings{})} {
		if got, err := trim("tombstone"); err != nil || got != "tombstone" {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestTrimmedPodsTellTheirServer(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Command: []string{"gunicorn", "app:app"}, Env: []corev1.EnvVar{{Name: "SECRET", Value: "x"}, {Name: server.VariableGunicorn, Value: "--graceful-timeout=5"}}},
		{Command: []string{"/app", "--secret=x"}, Env: []corev1.EnvVar{{Name: "SECRET", Value: "x"}}},
	}}}
	want, _ := server.Of(&pod.Spec.Containers[0])
	trimmed, err := TrimPod(pod)
	if err != nil {
		t.Fatal(err)
	}
	containers := trimmed.(*corev1.Pod).Spec.Containers
	if got, _ := server.Of(&containers[0]); !cmp.Equal(want, got) || len(containers[0].Env) != 1 {
		t.Errorf("%+v of %+v, want %+v", got, containers[0], want)
	}
	if diff := cmp.Diff(corev1.Container{}, containers[1]); diff != "" {
		t.Errorf("no server, not dropped (-want +got):\n%s", diff)
	}
}
