package corpus

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

func TestLoad(t *testing.T) {
	cases, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 100 {
		t.Errorf("only %d pods", len(cases))
	}
	for _, c := range cases {
		if len(c.Pod.Spec.Containers) == 0 || c.Kind == "" || len(c.Features) == 0 {
			t.Errorf("%s was not read whole: %d containers, kind %q, features %v", c.Name, len(c.Pod.Spec.Containers), c.Kind, c.Features)
		}
	}
}

// TestCheckOnlyPlanned changes an injected pod in ways that must be noticed.
func TestCheckOnlyPlanned(t *testing.T) {
	before := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Port("http", 8080).Liveness(intstr.FromInt32(8080))).
		Annotation(plan.AnnotationLocalVolumes, "scratch").Obj()
	planned := plan.Build(utiltesting.MakePolicy("p").Obj(), before, plan.Options{AgentImage: "agent", Delivery: plan.InitContainer})
	for name, tc := range map[string]struct {
		change func(*corev1.Pod)
		want   string // a part of the complaint; none = nothing to complain about
	}{
		"as planned":   {change: func(*corev1.Pod) {}},
		"a server's":   {change: func(p *corev1.Pod) { p.UID, p.ResourceVersion, p.Generation = "1", "2", 3 }},
		"grace":        {func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To[int64](1) }, "the grace is not 90"},
		"probe":        {func(p *corev1.Pod) { p.Spec.Containers[0].LivenessProbe.TerminationGracePeriodSeconds = nil }, "has no grace of 30"},
		"no hook":      {func(p *corev1.Pod) { p.Spec.Containers[0].Lifecycle = nil }, "app has no hook"},
		"other hook":   {func(p *corev1.Pod) { p.Spec.Containers[0].Lifecycle.PreStop.Exec.Command[0] = "x" }, "not the planned one"},
		"no mount":     {func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts = nil }, "does not mount the agent"},
		"writable":     {func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts[0].ReadOnly = false }, "does not mount the agent"},
		"no volume":    {func(p *corev1.Pod) { p.Spec.Volumes = nil }, "no volume"},
		"no installer": {func(p *corev1.Pod) { p.Spec.InitContainers = nil }, "installer is not the first"},
		"privileges":   {func(p *corev1.Pod) { p.Spec.InitContainers[0].SecurityContext = nil }, "installer is not the planned one"},
		"autoscaler":   {func(p *corev1.Pod) { p.Annotations[plan.AnnotationLocalVolumes] = "scratch" }, "the annotation"},
		"no label":     {func(p *corev1.Pod) { p.Labels = nil }, "the label"},
		"no record":    {func(p *corev1.Pod) { p.Annotations = nil }, "original is missing"},
		"app's image":  {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "x" }, "changed beyond the plan"},
		"app's env":    {func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A"}} }, "changed beyond the plan"},
		"host network": {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, "changed beyond the plan"},
		"other label":  {func(p *corev1.Pod) { p.Labels["a"] = "b" }, "changed beyond the plan"},
		"QoS class":    {func(p *corev1.Pod) { p.Status.QOSClass = corev1.PodQOSBurstable }, "changed beyond the plan"},
	} {
		t.Run(name, func(t *testing.T) {
			after := plan.Apply(planned, before)
			tc.change(after)
			err := CheckOnlyPlanned(before, after, planned)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v; want %q", err, tc.want)
			}
		})
	}
}

func TestSecurityShapes(t *testing.T) {
	cases, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	shapes := SecurityShapes(cases, "app", []string{"serve"})
	root, restricted := 0, 0
	for _, s := range shapes {
		if len(s.Pod.Spec.Containers) == 0 {
			t.Errorf("%s has no containers", s.Name)
		}
		switch pod := s.Pod.Spec.SecurityContext; {
		case pod != nil && pod.RunAsUser != nil && *pod.RunAsUser == 0:
			root++
		case pod != nil && pod.RunAsNonRoot != nil && *pod.RunAsNonRoot:
			restricted++
		}
	}
	if len(shapes) < 10 || root == 0 || restricted == 0 {
		t.Errorf("%d shapes, %d as root, %d as non-root", len(shapes), root, restricted)
	}
	t.Logf("%d shapes of %d pods", len(shapes), len(cases))
}
