package condition

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

func TestServerStopsInTime(t *testing.T) {
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	drained := testobjects.MakePolicy("p")
	early := testobjects.MakePolicy("p").With(func(s *v1alpha1.DrainPolicySpec) { s.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation })
	with := func(p *testobjects.PolicyWrapper, edit func(*v1alpha1.DrainPolicySpec)) *testobjects.PolicyWrapper {
		changed := testobjects.PolicyWrapper{DrainPolicy: *p.Obj()}
		return changed.With(edit)
	}
	stop := func(p *testobjects.PolicyWrapper, signal v1alpha1.StopSignal) *testobjects.PolicyWrapper {
		return with(p, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.StopSignal = signal })
	}
	align := with(early, func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.ServerTimeout = v1alpha1.ServerTimeoutAlign })
	runs := func(command ...string) *testobjects.PodWrapper {
		return testobjects.MakePod("web").Container(testobjects.MakeContainer("app").Port("http", 8080).Runs(command...))
	}
	own := func(signal corev1.Signal) *testobjects.PodWrapper {
		return testobjects.MakePod("web").Container(testobjects.MakeContainer("app").Port("http", 8080).Runs("nginx").With(func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{StopSignal: &signal}
		}))
	}
	reported := runs("nginx")
	reported.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", StopSignal: ptr.To(corev1.SIGQUIT)}}
	measured := func(milliseconds int64) *v1alpha1.GraceStatus {
		return &v1alpha1.GraceStatus{Percentile: "99", HoldSeconds: ptr.To[int32](10), LatencyMilliseconds: &milliseconds}
	}
	tests := map[string]struct {
		policy *testobjects.PolicyWrapper
		pod    *testobjects.PodWrapper
		grace  *v1alpha1.GraceStatus
		before bool // as it was before it was injected
		status metav1.ConditionStatus
		reason string
		says   string
	}{
		"no server that is known":          {policy: early, pod: runs("/app"), status: unknown, reason: "NoServerSeen"},
		"drained":                          {policy: drained, pod: runs("hypercorn", "app:app"), status: yes, reason: "NothingInFlight"},
		"drained, ends at once":            {policy: drained, pod: runs("nginx"), status: yes, reason: "NothingInFlight"},
		"drained, not injected yet":        {policy: drained, pod: runs("hypercorn", "app:app"), before: true, status: yes, reason: "NothingInFlight"},
		"too short":                        {policy: early, pod: runs("hypercorn", "app:app"), status: no, reason: "ServerTimeoutTooShort", says: "web/app: Hypercorn lets requests go on for 3 s after SIGTERM (its default, unless a configuration file in the image says otherwise), and pods are let go as soon as they are out of rotation; they may need 30 s (the pods' own grace). Set --graceful-timeout to as much or more"},
		"too short, not injected yet":      {policy: early, pod: runs("hypercorn", "app:app"), before: true, status: no, reason: "ServerTimeoutTooShort"},
		"too short, by its command":        {policy: early, pod: runs("gunicorn", "--graceful-timeout=10"), status: no, reason: "ServerTimeoutTooShort", says: "10 s after SIGTERM (by its command)"},
		"just long enough":                 {policy: early, pod: runs("gunicorn", "app:app"), status: yes, reason: "TimeoutsLongEnough", says: "30 s, the pods' own grace"},
		"a longer own grace":               {policy: early, pod: runs("gunicorn", "app:app").Grace(31), status: no, reason: "ServerTimeoutTooShort", says: "they may need 31 s"},
		"requests are measured, short":     {policy: early, pod: runs("hypercorn", "app:app"), grace: measured(2500), status: yes, reason: "TimeoutsLongEnough", says: "3 s, P99"},
		"requests are measured, long":      {policy: early, pod: runs("gunicorn", "app:app"), grace: measured(45001), status: no, reason: "ServerTimeoutTooShort", says: "46 s (P99 of their latency)"},
		"no limit":                         {policy: early, pod: runs("uvicorn", "app:app"), status: yes, reason: "TimeoutsLongEnough"},
		"a file":                           {policy: early, pod: runs("gunicorn", "-c", "conf.py"), status: unknown, reason: "ServerTimeoutUnknown", says: "a configuration file may set it"},
		"a sleep":                          {policy: testobjects.MakePolicy("p").Strategy(v1alpha1.StrategySleep), pod: runs("hypercorn", "app:app"), status: no, reason: "ServerTimeoutTooShort", says: "a sleep lets go"},
		"a sleep, not injected yet":        {policy: testobjects.MakePolicy("p").Strategy(v1alpha1.StrategySleep), pod: runs("hypercorn", "app:app"), before: true, status: no, reason: "ServerTimeoutTooShort", says: "a sleep lets go"},
		"no hook":                          {policy: testobjects.MakePolicy("p").Strategy(v1alpha1.StrategyNone), pod: runs("hypercorn", "app:app"), status: no, reason: "ServerTimeoutTooShort", says: "no hook holds it"},
		"a hook of its own":                {policy: drained, pod: testobjects.MakePod("web").Container(testobjects.MakeContainer("app").Runs("hypercorn", "app").PreStopExec("true")), status: no, reason: "ServerTimeoutTooShort", says: "its own preStop hook"},
		"aligned at admission":             {policy: align, pod: runs("gunicorn", "app:app").Grace(40), status: yes, reason: "TimeoutsLongEnough"},
		"aligned at the next admission":    {policy: align, pod: runs("gunicorn", "app:app").Grace(40), before: true, status: unknown, reason: "AlignedAtNextRollout"},
		"what Align leaves alone":          {policy: align, pod: runs("hypercorn", "app:app"), status: no, reason: "ServerTimeoutTooShort"},
		"its image may say otherwise":      {policy: early, pod: runs("nginx"), status: unknown, reason: "StopSignalUnknown", says: "nginx ends at once on SIGTERM, and pods are let go as soon as they are out of rotation; its image may name another STOPSIGNAL. preStop.stopSignal SIGQUIT"},
		"the policy's stop signal":         {policy: stop(early, "SIGQUIT"), pod: runs("nginx"), status: yes, reason: "TimeoutsLongEnough"},
		"the policy's, not injected yet":   {policy: stop(early, "SIGQUIT"), pod: runs("nginx"), before: true, status: yes, reason: "TimeoutsLongEnough"},
		"HAProxy's":                        {policy: stop(early, "SIGUSR1"), pod: runs("haproxy", "-f", "a"), status: yes, reason: "TimeoutsLongEnough"},
		"a wrong one cuts":                 {policy: stop(drained, "SIGQUIT"), pod: runs("gunicorn", "app:app"), status: no, reason: "StopSignalWrong", says: "Gunicorn ends at once on SIGQUIT, which preStop.stopSignal sends; softly on SIGTERM"},
		"a wrong one does nothing":         {policy: stop(drained, "SIGUSR1"), pod: runs("nginx"), status: no, reason: "StopSignalWrong", says: "nginx does not end on SIGUSR1"},
		"its own stop signal":              {policy: early, pod: own(corev1.SIGQUIT), status: yes, reason: "TimeoutsLongEnough"},
		"its own, above the policy's":      {policy: stop(early, "SIGUSR1"), pod: own(corev1.SIGQUIT), status: yes, reason: "TimeoutsLongEnough"},
		"its own, wrong":                   {policy: early, pod: own(corev1.SIGINT), status: no, reason: "ServerEndsAtOnce", says: "nginx ends at once on SIGINT, its stop signal"},
		"the kubelet says which":           {policy: early, pod: reported, status: yes, reason: "TimeoutsLongEnough"},
		"they share their processes":       {policy: stop(drained, "SIGQUIT"), pod: runs("nginx").With(func(s *corev1.PodSpec) { s.ShareProcessNamespace = ptr.To(true) }), status: no, reason: "StopSignalNotSent", says: "web/app: preStop.stopSignal is not sent there: the pod's containers share"},
		"the node's, of an unknown server": {policy: stop(drained, "SIGQUIT"), pod: runs("/app").With(func(s *corev1.PodSpec) { s.HostPID = true }), status: no, reason: "StopSignalNotSent", says: "hostPID"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := tc.pod.Obj()
			if !tc.before {
				pod = plan.Apply(plan.Build(tc.policy.Obj(), pod, plan.Options{Delivery: plan.ImageVolume}), pod)
			}
			got := serverStopsInTime(tc.policy.Obj(), tc.grace, []*corev1.Pod{pod})
			if got.Type != v1alpha1.ConditionServerStopsInTime || got.Status != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) {
				t.Errorf("got %+v, want %s %s that says %q", got, tc.status, tc.reason, tc.says)
			}
		})
	}
}

// What has to be mended comes first, whatever the order of the pods, and a
// rollout changes no word of it.
func TestServersOfManyPods(t *testing.T) {
	early := testobjects.MakePolicy("p").With(func(s *v1alpha1.DrainPolicySpec) { s.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation }).Obj()
	var pods []*corev1.Pod
	for workload, command := range map[string]string{"a": "hypercorn", "b": "uvicorn", "c": "nginx", "d": "hypercorn", "e": "hypercorn", "f": "hypercorn"} {
		for _, hash := range []string{"123", "456"} {
			pods = append(pods, testobjects.MakePod(workload+hash).Label("pod-template-hash", hash).
				Owner("apps/v1", "ReplicaSet", workload+"-"+hash).Container(testobjects.MakeContainer("app").Runs(command)).Obj())
		}
	}
	got := serverStopsInTime(early, nil, pods)
	if got.Reason != v1alpha1.ReasonTimeoutTooShort || !strings.HasPrefix(got.Message, "a/app: Hypercorn") || strings.Contains(got.Message, "123") {
		t.Errorf("got %+v", got)
	}
	if len(got.Message) > maxMessage+len("…") {
		t.Errorf("a message of %d bytes", len(got.Message))
	}
	if got := told([]finding{
		{where: "a/x", status: metav1.ConditionFalse, reason: "R", message: "1"}, {where: "b/x", reason: "R", message: "2"},
		{where: "c/x", reason: "R", message: "3"}, {where: "d/x", reason: "R", message: "4"}, {where: "e/x", reason: "S", message: "5"},
	}); got != "a/x: 1; b/x: 2; c/x: 3; and 1 more" {
		t.Errorf("told %q", got)
	}
}
