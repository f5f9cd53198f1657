package condition

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/front"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

// alb is an Ingress that declares its delay.
func alb(delay int32) v1alpha1.Front {
	return v1alpha1.Front{
		Kind: v1alpha1.FrontIngress, Name: "shop", Service: "web", LoadBalancer: v1alpha1.FrontALB,
		Targets: v1alpha1.FrontTargetsPods, DeregistrationDelaySeconds: delay, Declared: true,
	}
}

func nlb(delay int32) v1alpha1.Front {
	f := alb(delay)
	f.Kind, f.Name, f.LoadBalancer = v1alpha1.FrontService, "web", v1alpha1.FrontNLB
	return f
}

func withoutAnnotation(f v1alpha1.Front) v1alpha1.Front {
	f.DeregistrationDelaySeconds, f.Declared = front.DefaultDelaySeconds, false
	return f
}

func toNodes(f v1alpha1.Front) v1alpha1.Front {
	f.Targets = v1alpha1.FrontTargetsNodes
	return f
}

func TestFrontsCovered(t *testing.T) {
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	recommended := func(seconds int32) *v1alpha1.GraceStatus { return &v1alpha1.GraceStatus{RecommendedSeconds: seconds} }
	slow := recommended(90)
	slow.Percentile, slow.LatencyMilliseconds = "99.9", ptr.To[int64](12500)
	policy := func(change ...func(*v1alpha1.DrainPolicy)) *v1alpha1.DrainPolicy {
		p := testobjects.MakePolicy("web").Obj()
		for _, c := range change {
			c(p)
		}
		return p
	}
	propagation := func(seconds int32) func(*v1alpha1.DrainPolicy) {
		return func(p *v1alpha1.DrainPolicy) { p.Spec.PreStop.PropagationMaxSeconds = seconds }
	}
	notified := func(p *v1alpha1.DrainPolicy) { p.Spec.PreStop.Notify = &v1alpha1.Notify{} }
	bounded := func(p *v1alpha1.DrainPolicy) { p.Spec.PreStop.MaxHoldSeconds = ptr.To[int32](60) }
	noHook := func(p *v1alpha1.DrainPolicy) { p.Spec.PreStop.Strategy = v1alpha1.StrategyNone }
	tests := map[string]struct {
		policy *v1alpha1.DrainPolicy
		fronts []v1alpha1.Front
		grace  *v1alpha1.GraceStatus
		status metav1.ConditionStatus
		reason string
		says   string
	}{
		"none":                {policy(), nil, recommended(90), unknown, "NoFront", ""},
		"only to nodes":       {policy(), []v1alpha1.Front{toNodes(alb(300))}, recommended(90), yes, "FrontsInTime", "send to nodes"},
		"in time":             {policy(), []v1alpha1.Front{alb(85)}, recommended(90), yes, "FrontsInTime", "Ingress shop: deregistration delay 85 s"},
		"one second too long": {policy(), []v1alpha1.Front{alb(86)}, recommended(90), no, "GraceTooShort", "set deregistration_delay.timeout_seconds to 85 or less"},
		"by default": {
			policy(), []v1alpha1.Front{withoutAnnotation(alb(0))}, recommended(90), no, "GraceTooShort",
			"Ingress shop lets requests in flight go on for 300 s by default, from some 5 s after the beginning, and the pod has 90 s (the recommended grace)",
		},
		"no recommendation yet":     {policy(), []v1alpha1.Front{alb(3600)}, nil, yes, "FrontsInTime", ""},
		"a bound of the hold":       {policy(bounded), []v1alpha1.Front{alb(85)}, recommended(90), no, "GraceTooShort", "the pod has 60 s (preStop.maxHoldSeconds)"},
		"held before it ends":       {holdingPolicy(540), []v1alpha1.Front{alb(600)}, recommended(90), yes, "FrontsInTime", ""},
		"held, and not long enough": {holdingPolicy(60), []v1alpha1.Front{alb(600)}, recommended(90), no, "GraceTooShort", "has 150 s (gate.maxHoldSeconds and the recommended grace)"},
		"of two, one to nodes":      {policy(), []v1alpha1.Front{alb(30), toNodes(alb(300))}, recommended(90), yes, "FrontsInTime", "delay 30 s"},

		"propagation":                 {policy(propagation(25)), []v1alpha1.Front{alb(30)}, recommended(90), yes, "FrontsInTime", ""},
		"propagation too short":       {policy(propagation(24)), []v1alpha1.Front{alb(30)}, recommended(90), no, "PropagationTooShort", "may send new requests for 25 s after a pod was deregistered, and preStop.propagationMaxSeconds is 24"},
		"no hook to be long enough":   {policy(propagation(1), noHook), []v1alpha1.Front{alb(30)}, recommended(90), yes, "FrontsInTime", ""},
		"an NLB":                      {policy(), []v1alpha1.Front{nlb(30)}, recommended(90), no, "PropagationTooShort", "Service web may open new connections for 120 s"},
		"an NLB, known of":            {policy(propagation(120)), []v1alpha1.Front{nlb(30)}, recommended(180), yes, "FrontsInTime", ""},
		"an NLB with a long delay":    {policy(propagation(120)), []v1alpha1.Front{nlb(200)}, recommended(300), no, "PropagationTooShort", "on the connections that they have for 200 s"},
		"an NLB, and a word":          {policy(propagation(120), notified), []v1alpha1.Front{nlb(200)}, recommended(300), yes, "FrontsInTime", ""},
		"both too short: both told":   {policy(), []v1alpha1.Front{withoutAnnotation(nlb(0))}, recommended(90), no, "PropagationTooShort", "; Service web lets requests in flight go on for 300 s by default"},
		"the worst of three is named": {policy(propagation(600)), []v1alpha1.Front{alb(100), nlb(400), alb(200)}, recommended(90), no, "GraceTooShort", "Service web lets requests in flight go on for 400 s, from some 5 s after the beginning, and the pod has 90 s (the recommended grace): set deregistration_delay.timeout_seconds to 85 or less, or give the pod more (and 2 more)"},

		"the load balancer is in a hurry": {policy(), []v1alpha1.Front{alb(5)}, slow, no, "DelayTooShort", "Ingress shop cuts requests in flight after 5 s, and P99.9 of requests is 12.500 s"},
		"and less so":                     {policy(), []v1alpha1.Front{alb(12)}, slow, no, "DelayTooShort", ""},
		"and not at all":                  {policy(), []v1alpha1.Front{alb(13)}, slow, yes, "FrontsInTime", ""},
		"an NLB leaves connections alone": {policy(propagation(120)), []v1alpha1.Front{nlb(5)}, slow, yes, "FrontsInTime", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := frontsCovered(tc.policy, tc.fronts, true, tc.grace)
			if got.Type != v1alpha1.ConditionFrontsCovered || got.Status != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) {
				t.Errorf("got %+v, want %s %s that says %q", got, tc.status, tc.reason, tc.says)
			}
		})
	}
	if got := frontsCovered(policy(), nil, false, nil); got.Status != unknown || got.Reason != v1alpha1.ReasonNotYetChecked {
		t.Errorf("before anything was listed: %+v", got)
	}
	if got := frontsCovered(policy(), []v1alpha1.Front{alb(86)}, false, recommended(90)); got.Reason != v1alpha1.ReasonGraceTooShort {
		t.Errorf("by a new leader that could not list: %+v", got)
	}
}

// behind is a front whose Service selects app=name.
func behind(name string, f v1alpha1.Front) front.Front {
	f.Service = name
	return front.Front{Front: f, Selector: map[string]string{"app": name}}
}

func TestFronts(t *testing.T) {
	web := testobjects.MakePod("web-1").Label("app", "web").Owner("apps/v1", "ReplicaSet", "web").Obj()
	api := testobjects.MakePod("api-0").Label("app", "api").Owner("apps/v1", "StatefulSet", "api").Obj()
	all := []front.Front{behind("api", nlb(20)), behind("web", alb(30))}
	was := alb(10)
	tests := map[string]struct {
		all     []front.Front
		covered []*corev1.Pod
		was     []v1alpha1.Front
		want    []v1alpha1.Front
	}{
		"one's pods":                {all, []*corev1.Pod{web, web.DeepCopy()}, nil, []v1alpha1.Front{all[1].Front}},
		"both's":                    {all, []*corev1.Pod{web, api}, nil, []v1alpha1.Front{all[0].Front, all[1].Front}},
		"another's":                 {all, []*corev1.Pod{testobjects.MakePod("other").Obj()}, []v1alpha1.Front{was}, nil},
		"scaled to zero":            {all, nil, []v1alpha1.Front{was}, []v1alpha1.Front{all[1].Front}},
		"scaled to zero, and gone":  {[]front.Front{}, nil, []v1alpha1.Front{was}, nil},
		"never there":               {all, nil, nil, nil},
		"gone":                      {[]front.Front{}, []*corev1.Pod{web}, []v1alpha1.Front{was}, nil},
		"nothing is known any more": {nil, []*corev1.Pod{web}, []v1alpha1.Front{was}, []v1alpha1.Front{was}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Fronts(tc.all, tc.covered, tc.was), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("fronts (-want +got):\n%s", diff)
			}
		})
	}
}

// The list keeps its bound and its order, and what matters most.
func TestListedFronts(t *testing.T) {
	var all []v1alpha1.Front
	for i := range int32(MaxFronts + 4) {
		f := alb(i)
		f.Name = fmt.Sprintf("shop-%02d", i)
		if i >= MaxFronts {
			f = toNodes(f)
		}
		all = append(all, f)
	}
	if diff := cmp.Diff(all[:3], listedFronts(all[:3])); diff != "" {
		t.Errorf("few (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all[:MaxFronts], listedFronts(all)); diff != "" {
		t.Errorf("many (-want +got):\n%s", diff)
	}
}
