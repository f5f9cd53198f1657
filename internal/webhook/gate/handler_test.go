package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// known is what the handler knows: one pod and its policy, in the namespace shop.
type known struct {
	pod    *corev1.Pod
	policy *v1alpha1.DrainPolicy
	ends   bool
	leaves bool
	fails  string
}

func (k *known) fail(what string) error {
	if k.fails == what {
		return errors.New("no " + what)
	}
	return nil
}

func (k *known) Pod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	if namespace != "shop" || name != k.pod.Name {
		return nil, k.fail("pod")
	}
	return k.pod, k.fail("pod")
}

func (k *known) Policy(_ context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error) {
	if namespace != "shop" || name != k.policy.Name {
		return nil, k.fail("policy")
	}
	return k.policy, k.fail("policy")
}

func (k *known) NamespaceTerminating(_ context.Context, namespace string) (bool, error) {
	return k.ends && namespace == "shop", k.fail("namespace")
}

func (k *known) Releasing() bool { return k.leaves }

func knows() *known {
	return &known{
		pod: testbuild.MakePod("web-1").Namespace("shop").Label(v1alpha1.LabelInjected, "true").
			Annotation(v1alpha1.AnnotationInjectedBy, "web/3").Container(testbuild.MakeContainer("app")).Obj(),
		policy: testbuild.MakePolicy("web").Namespace("shop").HoldsDeletions().Obj(),
	}
}

// witness keeps what was counted, written down, and decided on.
type witness struct {
	answers   []string
	wishes    []string
	snapshots []drain.Snapshot
	// flushed says for each wish whether the answer had been sent.
	flushed []bool
	rw      *httptest.ResponseRecorder
}

func (w *witness) Answered(kind drain.Kind, reason drain.VerdictReason) {
	w.answers = append(w.answers, fmt.Sprintf("%s %s", kind, reason))
}

func (w *witness) Record(_ context.Context, pod *corev1.Pod, condition corev1.PodCondition) {
	w.wishes = append(w.wishes, fmt.Sprintf("%s/%s %s", pod.Namespace, pod.Name, condition.Type))
	w.flushed = append(w.flushed, w.rw.Flushed)
}

func refuse(drain.Snapshot, time.Time) drain.Verdict {
	return drain.Verdict{
		Reason: drain.RefusedNotDrained, Message: "3 sessions left", After: time.Minute,
		Record: &corev1.PodCondition{Type: v1alpha1.PodDeletionRequested},
	}
}

func allow(drain.Snapshot, time.Time) drain.Verdict {
	return drain.Verdict{Allow: true, Reason: drain.AllowedDrained}
}

// asked sends a review as the API server does, and returns the answer.
func asked(t *testing.T, k *known, decide func(drain.Snapshot, time.Time) drain.Verdict, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, *witness) {
	t.Helper()
	w := &witness{rw: httptest.NewRecorder()}
	h := &Handler{
		Facts:      k,
		IsOperator: func(user string) bool { return user == "operator" },
		Decide: func(s drain.Snapshot, at time.Time) drain.Verdict {
			if !at.Equal(now) {
				t.Errorf("decided at %s", at)
			}
			w.snapshots = append(w.snapshots, s)
			return decide(s, at)
		},
		Wishes: w, Answers: w, Clock: clocktesting.NewFakePassiveClock(now),
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(w.rw, httptest.NewRequest(http.MethodPost, "/gate", bytes.NewReader(body)))
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(w.rw.Body.Bytes(), &answer); err != nil || w.rw.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.rw.Code, err, w.rw.Body)
	}
	if answer.Response == nil || answer.Response.UID != request.UID {
		t.Fatalf("no answer to the request: %s", w.rw.Body)
	}
	return answer.Response, w
}

func reviewed(operation admissionv1.Operation, subresource string) *admissionv1.AdmissionRequest {
	return &admissionv1.AdmissionRequest{
		UID: "u", Operation: operation, Namespace: "shop", Name: "web-1", SubResource: subresource,
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		UserInfo: authenticationv1.UserInfo{Username: "jane"},
	}
}

// deletion of a pod, with options as JSON.
func deletion(t *testing.T, pod *corev1.Pod, options string) *admissionv1.AdmissionRequest {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	r := reviewed(admissionv1.Delete, "")
	r.OldObject.Raw, r.Options.Raw = raw, []byte(options)
	return r
}

// eviction as JSON.
func evicting(raw string) *admissionv1.AdmissionRequest {
	r := reviewed(admissionv1.Create, "eviction")
	r.Object.Raw = []byte(raw)
	r.Options.Raw = []byte(`{"apiVersion":"meta.k8s.io/v1","kind":"CreateOptions"}`)
	return r
}

// What is asked for reaches the verdict, whichever way it is asked.
func TestSnapshots(t *testing.T) {
	uid := types.UID("pod-uid")
	k := knows()
	k.pod.UID = uid
	k.pod.Spec.Containers = nil // nothing that a verdict reads
	snapshot := func(edit func(*drain.Snapshot)) drain.Snapshot {
		s := drain.Snapshot{Ask: drain.Ask{Kind: drain.Delete, User: "jane"}, Pod: k.pod, Policy: k.policy}
		edit(&s)
		return s
	}
	byOperator := deletion(t, k.pod, `{}`)
	byOperator.UserInfo.Username = "operator"
	nameless := deletion(t, k.pod, `{}`) // as of a DeleteCollection
	nameless.Name = ""
	dry := deletion(t, k.pod, `{}`)
	dry.DryRun = ptr.To(true)
	for name, tc := range map[string]struct {
		request *admissionv1.AdmissionRequest
		want    drain.Snapshot
	}{
		"a deletion": {
			deletion(t, k.pod, `{"apiVersion":"meta.k8s.io/v1","kind":"DeleteOptions","gracePeriodSeconds":30,"preconditions":{"uid":"pod-uid"}}`),
			snapshot(func(s *drain.Snapshot) { s.Ask.GraceSeconds, s.Ask.UID = ptr.To[int64](30), uid }),
		},
		"a deletion without options": {deletion(t, k.pod, `null`), snapshot(func(*drain.Snapshot) {})},
		"of a collection":            {nameless, snapshot(func(*drain.Snapshot) {})},
		"by the operator":            {byOperator, snapshot(func(s *drain.Snapshot) { s.Ask.User, s.Ask.ByOperator = "operator", true })},
		"in a dry run":               {dry, snapshot(func(s *drain.Snapshot) { s.Ask.DryRun = true })},
		"an eviction, policy/v1": {
			evicting(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-1"},"deleteOptions":{"gracePeriodSeconds":0,"preconditions":{"uid":"other"}}}`),
			snapshot(func(s *drain.Snapshot) {
				s.Ask.Kind, s.Ask.GraceSeconds, s.Ask.UID = drain.Evict, ptr.To[int64](0), "other"
			}),
		},
		"an eviction, policy/v1beta1": {
			evicting(`{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"web-1"}}`),
			snapshot(func(s *drain.Snapshot) { s.Ask.Kind = drain.Evict }),
		},
		"an eviction's own dry run": {
			evicting(`{"deleteOptions":{"dryRun":["All"]}}`),
			snapshot(func(s *drain.Snapshot) { s.Ask.Kind, s.Ask.DryRun = drain.Evict, true }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, w := asked(t, k, allow, tc.request)
			if diff := cmp.Diff([]drain.Snapshot{tc.want}, w.snapshots); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSnapshotsOfLittle(t *testing.T) {
	unknown := evicting(`{}`)
	unknown.Name = "other"
	foreign := knows()
	foreign.pod.Labels = nil
	leaving := knows()
	leaving.leaves, leaving.ends = true, true
	orphan := knows()
	orphan.policy.Name = "another"
	for name, tc := range map[string]struct {
		known   *known
		request *admissionv1.AdmissionRequest
		want    drain.Snapshot
	}{
		"no such pod": {knows(), unknown, drain.Snapshot{Ask: drain.Ask{Kind: drain.Evict, User: "jane"}}},
		"not injected": {
			foreign, evicting(`{}`), drain.Snapshot{Ask: drain.Ask{Kind: drain.Evict, User: "jane"}, Pod: foreign.pod},
		},
		"its policy is gone": {
			orphan, evicting(`{}`), drain.Snapshot{Ask: drain.Ask{Kind: drain.Evict, User: "jane"}, Pod: orphan.pod},
		},
		"all goes": {leaving, evicting(`{}`), drain.Snapshot{
			Ask: drain.Ask{Kind: drain.Evict, User: "jane"}, Pod: leaving.pod, Policy: leaving.policy,
			Releasing: true, NamespaceTerminating: true,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, w := asked(t, tc.known, allow, tc.request)
			if diff := cmp.Diff([]drain.Snapshot{tc.want}, w.snapshots); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is read of a pod that is being deleted leads to the same verdict as the
// whole of it.
func TestWhatIsReadOfAPodIsEnough(t *testing.T) {
	started, changed := metav1.NewTime(now.Add(-time.Hour)), metav1.NewTime(now.Add(-time.Minute))
	held := func() *corev1.Pod {
		pod := knows().pod
		pod.UID, pod.Spec.TerminationGracePeriodSeconds = "uid", ptr.To[int64](45)
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}
		pod.Status = corev1.PodStatus{
			Phase: corev1.PodRunning, StartTime: &started,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}}},
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodReady, Status: "True", LastTransitionTime: changed},
				{Type: v1alpha1.PodInRotation, Status: "True", LastTransitionTime: changed},
			},
		}
		return pod
	}
	condition := func(conditionType corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) corev1.PodCondition {
		return corev1.PodCondition{Type: conditionType, Status: status, Reason: reason, Message: message, LastTransitionTime: changed, LastProbeTime: changed}
	}
	wished := func(drained corev1.PodCondition) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions[1].Status = "False"
			p.Status.Conditions = append(p.Status.Conditions, condition(v1alpha1.PodDeletionRequested, "True", "Evict", `{"by":"joe","graceSeconds":9}`), drained)
		}
	}
	policy := knows().policy
	policy.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDrainStatusReachable, Status: "True"}}
	for want, edit := range map[drain.VerdictReason]func(*corev1.Pod){
		drain.RefusedNotDrained:  func(*corev1.Pod) {},
		drain.AllowedNotMeant:    func(p *corev1.Pod) { p.Labels = nil },
		drain.AllowedTerminating: func(p *corev1.Pod) { p.DeletionTimestamp = &changed },
		drain.AllowedDisrupted: func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, condition(corev1.DisruptionTarget, "True", "DeletionByPodGC", ""))
		},
		drain.AllowedNothingRuns:   func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = corev1.ContainerState{} },
		drain.AllowedNoGate:        func(p *corev1.Pod) { p.Spec.ReadinessGates = nil },
		drain.AllowedDrained:       wished(condition(v1alpha1.PodDrained, "True", "", "")),
		drain.AllowedStatusUnknown: wished(condition(v1alpha1.PodDrained, "Unknown", v1alpha1.ReasonStatusNoAnswer, "")),
	} {
		t.Run(string(want), func(t *testing.T) {
			pod := held()
			edit(pod)
			_, w := asked(t, &known{pod: pod, policy: policy}, allow, deletion(t, pod, `{"gracePeriodSeconds":45}`))
			got := drain.Decide(w.snapshots[0], now)
			if got.Reason != want {
				t.Errorf("got %s", got.Reason)
			}
			whole := w.snapshots[0]
			whole.Pod = pod
			if diff := cmp.Diff(drain.Decide(whole, now), got); diff != "" {
				t.Errorf("(-of the whole pod +of what is read):\n%s", diff)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	response, w := asked(t, knows(), refuse, deletion(t, knows().pod, `{}`))
	want := &admissionv1.AdmissionResponse{UID: "u", Result: &metav1.Status{
		Status: "Failure", Code: 429, Reason: "TooManyRequests", Message: "3 sessions left",
	}}
	if diff := cmp.Diff(want, response); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Delete NotDrained"}, w.answers); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop/web-1 " + v1alpha1.PodDeletionRequested}, w.wishes); diff != "" {
		t.Errorf("written down (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{true}, w.flushed); diff != "" {
		t.Errorf("written down after the answer was sent (-want +got):\n%s", diff)
	}
}

// A dry run gets the same answer and leaves no trace, even if the verdict
// would have one.
func TestDryRunsLeaveNoTrace(t *testing.T) {
	for name, request := range map[string]*admissionv1.AdmissionRequest{
		"of a deletion": func() *admissionv1.AdmissionRequest {
			r := deletion(t, knows().pod, `{}`)
			r.DryRun = ptr.To(true)
			return r
		}(),
		"of an eviction":                evicting(`{"deleteOptions":{"dryRun":["All"]}}`),
		"of an eviction's creation too": func() *admissionv1.AdmissionRequest { r := evicting(`{}`); r.DryRun = ptr.To(true); return r }(),
	} {
		t.Run(name, func(t *testing.T) {
			response, w := asked(t, knows(), refuse, request)
			if response.Allowed || len(w.answers) > 0 || len(w.wishes) > 0 {
				t.Errorf("allowed: %t, counted %v, written down %v", response.Allowed, w.answers, w.wishes)
			}
		})
	}
}

// Whatever goes wrong, the answer is yes, and counted.
func TestFailuresAllow(t *testing.T) {
	panics := func(drain.Snapshot, time.Time) drain.Verdict { panic("!") }
	without := func(what string) *known { k := knows(); k.fails = what; return k }
	cut := deletion(t, knows().pod, `{}`)
	cut.OldObject = runtime.RawExtension{Raw: []byte(`{"metadata":{"name":7}}`)}
	gone := deletion(t, knows().pod, `{}`)
	gone.OldObject = runtime.RawExtension{}
	empty := evicting(`{}`)
	empty.Object = runtime.RawExtension{}
	for name, tc := range map[string]struct {
		known   *known
		decide  func(drain.Snapshot, time.Time) drain.Verdict
		request *admissionv1.AdmissionRequest
		want    string
	}{
		"the verdict panics":           {knows(), panics, evicting(`{}`), "Evict Failed"},
		"the pod cannot be read":       {without("pod"), refuse, evicting(`{}`), "Evict Failed"},
		"the policy cannot be read":    {without("policy"), refuse, evicting(`{}`), "Evict Failed"},
		"the namespace cannot be read": {without("namespace"), refuse, deletion(t, knows().pod, `{}`), "Delete Failed"},
		"the eviction is no eviction":  {knows(), refuse, evicting(`{"deleteOptions":7}`), "Evict Failed"},
		"there is no eviction":         {knows(), refuse, empty, "Evict Failed"},
		"the old object is no pod":     {knows(), refuse, cut, "Delete Failed"},
		"there is no old object":       {knows(), refuse, gone, "Delete Failed"},
		"something else is asked":      {knows(), refuse, reviewed(admissionv1.Update, ""), " NotMeant"},
		"another subresource":          {knows(), refuse, reviewed(admissionv1.Create, "binding"), " NotMeant"},
	} {
		t.Run(name, func(t *testing.T) {
			response, w := asked(t, tc.known, tc.decide, tc.request)
			if !response.Allowed || response.Result != nil || len(w.wishes) > 0 {
				t.Errorf("got %+v, written down %v", response, w.wishes)
			}
			if diff := cmp.Diff([]string{tc.want}, w.answers); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReviewsThatCannotBeRead(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":          ``,
		"no UID":           `{"request":{"namespace":"shop"}}`,
		"too long to read": `{"request":{"uid":"u"},"x":"` + strings.Repeat("x", 8<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			rw, w := httptest.NewRecorder(), &witness{}
			h := &Handler{Facts: knows(), Wishes: w, Answers: w}
			h.ServeHTTP(rw, httptest.NewRequest(http.MethodPost, "/gate", strings.NewReader(body)))
			if rw.Code != http.StatusBadRequest || len(w.answers) > 0 {
				t.Errorf("status %d, counted %v", rw.Code, w.answers)
			}
		})
	}
}
