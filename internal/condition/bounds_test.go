package condition

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/config/crd"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/front"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/policy"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

// Whatever there is in a namespace, the API server must take the status: what is
// too long in one field keeps all others from being written, for as long as it is.

const (
	many = 300
	// manyPods are more than any list has room for, but that of draining ones.
	manyPods = 2 * MaxHeldPods
)

// statusSchema is what the API server holds a status against.
func statusSchema(t *testing.T) validation.SchemaValidator {
	t.Helper()
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(crd.DrainPolicies, &definition); err != nil {
		t.Fatal(err)
	}
	var schema apiextensions.JSONSchemaProps
	served := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"]
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&served, &schema, nil); err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(&schema)
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

// long is a name of the greatest length that the API takes.
func long(what string, i int) string {
	name := fmt.Sprintf("%s-%d-", what, i)
	return name + strings.Repeat("x", 253-len(name))
}

// endless is what others write, and nobody bounds.
var endless = strings.Repeat("никогда ", 5_000)

// hostile are facts of a namespace that has too much of everything.
func hostile(with func(*Facts)) Facts {
	f := Facts{
		Policy:     testobjects.MakePolicy(long("policy", 0)).HTTP(intstr.FromString("status")).HoldsDeletions().Obj(),
		AgentImage: agentImage, Trial: worksTrial(), Now: now,
		Coverage: Coverage{Pods: many, Injected: many, Skipped: map[string]int32{}, Lost: map[Loss]int32{}},
		Grace:    &v1alpha1.GraceStatus{Percentile: "99", RecommendedSeconds: 3600, LatencyMilliseconds: ptr.To[int64](1 << 40), HoldSeconds: ptr.To[int32](3600)},
		Ceilings: Ceilings{NodeRemovalSeconds: 60},
		Notice:   &Notice{Label: endless, Value: endless, Seconds: 30},
		Reach:    Reach{Failures: 7, Pod: long("pod", 1), Reason: endless},
		Look:     Look{At: now, Reason: v1alpha1.ReasonSourceUnavailable, Message: endless},
		Fronts:   []front.Front{}, Deployed: []Deployed{},
	}
	for i := range many {
		f.Coverage.Lost[Loss{long("winner", i), policy.WhyOlder}] = int32(i)
		f.Coverage.Skipped[fmt.Sprintf("Reason%d", i)] = int32(i)
		f.AgentPods = append(f.AgentPods, AgentPod{Name: long("pod", i), Image: endless, Trouble: endless})
		f.Deadlines = append(f.Deadlines, Deadline{Deployment: long("web", i), Seconds: 1})
		f.Draining = append(f.Draining, v1alpha1.DrainingPod{Name: long("pod", i), UID: fmt.Sprintf("%064d", i), Since: metav1.NewTime(now)})
	}
	for i := range manyPods {
		pod := hostilePod(i)
		f.Held = append(f.Held, pod)
		f.Coverage.Covered = append(f.Coverage.Covered, pod)
	}
	for i := range MaxRecentDrains {
		f.Ended = append(f.Ended, drain.Judge(drain.Ended{Pod: hostilePod(i), SeenAt: now}))
	}
	with(&f)
	return f
}

// hostilePod has in its status what a kubelet would not write, but others may.
func hostilePod(i int) *corev1.Pod {
	pod := testobjects.MakePod(long("pod", i)).Label(v1alpha1.LabelInjected, "true").
		Container(testobjects.MakeContainer(strings.Repeat("c", 63)).Runs("gunicorn", "--graceful-timeout", "1", "app").
			PreStopExec(hold.AgentDir+"/drain-agent", "wait", "{}")).Obj()
	pod.UID, pod.Spec.NodeName = types.UID(fmt.Sprintf("%064d", i)), long("node", i)
	latest := metav1.NewTime(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	wish := drain.Wish{Kind: drain.Delete, By: endless, Since: latest.Time, LastAsked: latest.Time}
	pod.Status.Conditions = []corev1.PodCondition{
		wish.Condition(),
		{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse, Reason: endless},
		{Type: v1alpha1.PodDrained, Status: corev1.ConditionFalse, Reason: endless, Message: endless, LastTransitionTime: latest},
	}
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{Reason: endless, Message: hold.ResultPrefix + endless, FinishedAt: latest},
		}})
	}
	return pod
}

func TestTheAPIServerTakesWhateverThereIs(t *testing.T) {
	schema := statusSchema(t)
	tests := map[string]func(*Facts){
		"too much of everything": func(*Facts) {},
		"hold Termination":       func(f *Facts) { f.Policy.Spec.Gate.Hold = v1alpha1.HoldTermination },
		"an agent that is refused": func(f *Facts) {
			f.Trial = Trial{Result: ResultAgentRefused, Message: endless, Generation: 1, Mode: v1alpha1.ModeEnforce, At: now}
		},
		"everything is refused": func(f *Facts) {
			f.Trial = Trial{Result: ResultRefused, Message: endless, Generation: 1, Mode: v1alpha1.ModeEnforce, At: now}
		},
		"an excluded namespace": func(f *Facts) {
			f.Trial = Trial{Result: ResultNotInjected, Excluded: plan.Exclusion(endless), Generation: 1, Mode: v1alpha1.ModeEnforce, At: now}
		},
		"pods that are skipped alone": func(f *Facts) { f.Coverage.Outdated, f.Coverage.Missing = 0, 0 },
		"what an older version wrote": func(f *Facts) {
			for _, kind := range slices.Sorted(maps.Keys(good)) {
				f.Policy.Status.Conditions = append(f.Policy.Status.Conditions, metav1.Condition{
					Type: kind, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonStatusNoAnswer, Message: endless,
					ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(now),
				})
			}
			f.Reach, f.Look, f.Policy.Status.AgentImage = Reach{}, Look{}, agentImage
		},
	}
	for name, with := range tests {
		t.Run(name, func(t *testing.T) {
			decision := Decide(hostile(with))
			body, err := json.Marshal(decision.Status)
			if err != nil {
				t.Fatal(err)
			}
			var status any
			if err := json.Unmarshal(body, &status); err != nil {
				t.Fatal(err)
			}
			refusals := validation.ValidateCustomResource(nil, status, schema)
			for _, refusal := range refusals[:min(len(refusals), 3)] {
				t.Errorf("the API server refuses it: %s", Shorten(refusal.Error()))
			}
			if len(body) > 300<<10 { // etcd takes 1.5 MiB, with the spec
				t.Errorf("the status has %d KiB", len(body)>>10)
			}
			for _, c := range decision.Status.Conditions {
				if len(c.Message) > maxMessage+len("…") {
					t.Errorf("the message of %s has %d bytes", c.Type, len(c.Message))
				}
			}
			for _, e := range decision.Events {
				if len(e.Message) > 1024 {
					t.Errorf("the message of the event %s has %d bytes", e.Reason, len(e.Message))
				}
			}
		})
	}
}
