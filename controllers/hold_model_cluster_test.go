package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

// modelPod is a pod, with what the API does not show.
type modelPod struct {
	m *model
	// obj is what the API server has. It is replaced, never changed.
	obj *corev1.Pod
	// sessions are the ends of requests.
	sessions []time.Time
	// seenUntil is when the last learns that it is not Ready; zero while it is.
	seenUntil time.Time
	told      *bool
	started   time.Time
	// endpoint is how its drain status answers; doubtful when it last lied or failed.
	endpoint modelEndpoint
	doubtful time.Time
	// lateKubelet is how long the kubelet takes; late when it last was.
	lateKubelet time.Duration
	late        time.Time
	// deleteAsked says that somebody asked for a DELETE of it, not only to evict it.
	deleteAsked bool
	// refusedSince and refusedLast are when the operator's releases were refused,
	// of those in a row.
	refusedSince, refusedLast time.Time
}

type modelEndpoint string

const (
	endpointWorks  modelEndpoint = "works"
	endpointGaps   modelEndpoint = "has gaps" // between two requests it sometimes shows none
	endpointFails  modelEndpoint = "fails"
	endpointLies   modelEndpoint = "lies"
	modelContainer               = "app"
)

// stampOf is a time as the API keeps it.
func stampOf(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

// update writes to a pod.
func (p *modelPod) update(change func(*corev1.Pod)) {
	old := p.obj
	p.obj = old.DeepCopy()
	change(p.obj)
	p.m.version++
	p.obj.ResourceVersion = strconv.Itoa(p.m.version)
	p.m.last = p.m.now()
	p.readiness(old)
	p.m.wished(p, old)
	p.m.published(p.obj.Name, p.obj)
}

// published tells everybody who looks at pods.
func (m *model) published(name string, obj *corev1.Pod) {
	for _, l := range m.leaders {
		if !l.over {
			l.cache.later(name, obj)
		}
	}
	m.webhook.later(name, obj)
	m.set.wake(m.between(time.Millisecond, 50*time.Millisecond))
	if m.budget != nil {
		m.budget.wake()
	}
}

// readiness: who gets new work changes some time after Ready does.
func (p *modelPod) readiness(old *corev1.Pod) {
	was, is := modelReady(old), modelReady(p.obj)
	switch {
	case is && p.obj.DeletionTimestamp == nil:
		p.seenUntil = time.Time{}
	case was && p.seenUntil.IsZero():
		p.seenUntil = p.m.now().Add(p.m.between(0, p.m.propagation()))
	}
	if modelIn(old) != modelIn(p.obj) {
		p.kubelet()
	}
}

// kubelet reports Ready some time after the readiness gate has changed.
func (p *modelPod) kubelet() {
	lag := p.m.between(10*time.Millisecond, 2*time.Second) + p.lateKubelet
	p.m.in(lag, func() {
		if p.gone() {
			return
		}
		want := corev1.ConditionFalse
		if modelIn(p.obj) {
			want = corev1.ConditionTrue
		}
		if modelReady(p.obj) == (want == corev1.ConditionTrue) && modelCondition(p.obj, corev1.PodReady) != nil {
			return
		}
		p.m.note("%s: Ready=%s", p.obj.Name, want)
		p.update(func(obj *corev1.Pod) {
			setCondition(obj, corev1.PodCondition{Type: corev1.PodReady, Status: want, LastTransitionTime: stampOf(p.m.now())})
			containersReady(obj)
		})
	})
}

// arrivals: a pod that is seen gets requests, now and then a session.
func (p *modelPod) arrivals() {
	p.m.in(p.m.between(200*time.Millisecond, 4*time.Second), func() {
		if p.gone() {
			return
		}
		if p.getsWork() && !p.m.quiet {
			most := 3 * time.Second
			switch {
			case p.m.chance(0.02):
				most = 330 * time.Second
			case p.m.chance(0.15):
				most = 80 * time.Second
			}
			p.sessions = append(p.sessions, p.m.now().Add(p.m.between(50*time.Millisecond, most)))
		}
		if !p.m.quiet {
			p.arrivals()
		}
	})
}

func containersReady(obj *corev1.Pod) {
	c := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionFalse}
	if obj.Status.ContainerStatuses[0].State.Running != nil {
		c.Status = corev1.ConditionTrue
	}
	setCondition(obj, c)
}

func (p *modelPod) getsWork() bool {
	running := len(p.obj.Status.ContainerStatuses) > 0 && p.obj.Status.ContainerStatuses[0].State.Running != nil
	return running && modelCondition(p.obj, corev1.PodReady) != nil && (p.seenUntil.IsZero() || p.m.now().Before(p.seenUntil))
}

func (p *modelPod) inFlight() int {
	p.sessions = slices.DeleteFunc(p.sessions, func(end time.Time) bool { return !end.After(p.m.now()) })
	return len(p.sessions)
}

func (p *modelPod) gone() bool { return p.m.pods[p.obj.Name] != p || p.obj.DeletionTimestamp != nil }

// starts the pod's container, and a replica of the operator sets its gate.
func (p *modelPod) starts() {
	p.m.in(p.m.between(time.Second, 3*time.Second), func() {
		if p.gone() {
			return
		}
		p.update(func(obj *corev1.Pod) {
			obj.Status.Phase = corev1.PodRunning
			obj.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: modelContainer, State: corev1.ContainerState{
				Running: &corev1.ContainerStateRunning{StartedAt: stampOf(p.m.now())},
			}}}
			setCondition(obj, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: stampOf(p.m.now())})
		})
		p.seenUntil, p.started = p.m.now(), p.m.now()
		p.kubelet()
		p.arrivals()
	})
	p.m.in(p.m.between(100*time.Millisecond, 4*time.Second), func() {
		if !p.gone() && modelCondition(p.obj, v1alpha1.PodInRotation) == nil {
			p.update(func(obj *corev1.Pod) { setCondition(obj, p.m.gate()) })
		}
	})
}

// startsAtOnce makes a pod that serves since long.
func (p *modelPod) startsAtOnce() {
	long := stampOf(modelStart.Add(-time.Hour))
	p.obj.Status.Phase = corev1.PodRunning
	p.obj.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: modelContainer, State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: long},
	}}}
	setCondition(p.obj, p.m.gate())
	containersReady(p.obj)
	setCondition(p.obj, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: stampOf(long.Add(time.Minute))})
	p.arrivals()
}

func (m *model) gate() corev1.PodCondition {
	return corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, LastTransitionTime: stampOf(m.now())}
}

// crashes: the container ends and starts again; what was in flight is lost.
func (p *modelPod) crashes() {
	p.sessions = nil
	p.m.disturbed, p.doubtful = p.m.now(), p.m.now()
	p.m.note("%s: crashes", p.obj.Name)
	p.update(func(obj *corev1.Pod) {
		obj.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
		containersReady(obj)
		setCondition(obj, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: stampOf(p.m.now())})
	})
	p.m.in(p.m.between(time.Second, 10*time.Second), func() {
		if p.gone() {
			return
		}
		p.doubtful, p.seenUntil = p.m.now(), p.m.now()
		p.update(func(obj *corev1.Pod) {
			obj.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: stampOf(p.m.now())}}
		})
		p.kubelet()
	})
}

// terminates: its deletion was accepted. why says who asked and who allowed.
func (p *modelPod) terminates(why string) {
	p.judgeEnd(why)
	if _, held := drain.WishOf(p.obj); !held || drain.OutOfRotation(p.obj) == false {
		p.m.disturbed = p.m.now()
	}
	p.m.note("%s: terminates, %s", p.obj.Name, why)
	p.update(func(obj *corev1.Pod) { obj.DeletionTimestamp = ptr.To(stampOf(p.m.now())) })
	p.m.in(p.m.between(100*time.Millisecond, 4*time.Second), func() {
		delete(p.m.pods, p.obj.Name)
		p.m.ended[string(p.obj.UID)] = true
		p.m.published(p.obj.Name, nil)
	})
}

// modelCache is what a replica of the operator knows of the pods, some time later.
type modelCache struct {
	m     *model
	pods  map[string]*corev1.Pod
	last  time.Time
	awake func() time.Duration // how long it hangs
	told  func(name string)
}

func (c *modelCache) later(name string, obj *corev1.Pod) {
	lag := c.m.between(time.Millisecond, 50*time.Millisecond)
	if c.m.fault(0.1) {
		lag = c.m.between(50*time.Millisecond, 900*time.Millisecond)
	}
	at := c.m.now().Add(lag)
	if at.Before(c.last) {
		at = c.last // the order stays
	}
	c.last = at
	c.m.in(at.Sub(c.m.now()), func() { c.shows(name, obj) })
}

func (c *modelCache) shows(name string, obj *corev1.Pod) {
	if c.awake != nil {
		if hangs := c.awake(); hangs > 0 {
			hangs += 20 * time.Millisecond
			c.last = later(c.last, c.m.now().Add(hangs))
			c.m.in(hangs, func() { c.shows(name, obj) })
			return
		}
	}
	switch before := c.pods[name]; {
	case obj == nil && before != nil && c.m.ended[string(before.UID)]:
		delete(c.pods, name)
	case obj == nil, before == nil && c.m.ended[string(obj.UID)]: // long gone
	case before == nil, modelVersion(before) < modelVersion(obj):
		c.pods[name] = obj
	}
	if c.told != nil {
		c.told(name)
	}
}

func modelVersion(obj *corev1.Pod) int {
	n, err := strconv.Atoi(obj.ResourceVersion)
	if err != nil {
		panic(err)
	}
	return n
}

func modelCondition(obj *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range obj.Status.Conditions {
		if obj.Status.Conditions[i].Type == kind {
			return &obj.Status.Conditions[i]
		}
	}
	return nil
}

func setCondition(obj *corev1.Pod, c corev1.PodCondition) {
	c.LastProbeTime, c.LastTransitionTime = stampOf(c.LastProbeTime.Time), stampOf(c.LastTransitionTime.Time)
	if is := modelCondition(obj, c.Type); is != nil {
		*is = c
		return
	}
	obj.Status.Conditions = append(obj.Status.Conditions, c)
}

func modelTrue(obj *corev1.Pod, kind corev1.PodConditionType) bool {
	c := modelCondition(obj, kind)
	return c != nil && c.Status == corev1.ConditionTrue
}

func modelReady(obj *corev1.Pod) bool { return modelTrue(obj, corev1.PodReady) }

// modelIn says that the kubelet may report a pod as Ready.
func modelIn(obj *corev1.Pod) bool {
	return modelTrue(obj, v1alpha1.PodInRotation) && len(obj.Status.ContainerStatuses) > 0 && obj.Status.ContainerStatuses[0].State.Running != nil
}

// newPod is one that the API server has just taken.
func (m *model) newPod(name, revision string) *modelPod {
	m.uids++
	obj := testobjects.MakePod(name).Label("app", "web").Label(v1alpha1.LabelInjected, "true").
		Label("controller-revision-hash", revision).
		Annotation(v1alpha1.AnnotationInjectedBy, "web/1").Owner("apps/v1", "ReplicaSet", "web").Obj()
	obj.UID = types.UID(fmt.Sprintf("uid-%03d", m.uids))
	obj.CreationTimestamp = stampOf(m.now())
	obj.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}
	m.version++
	obj.ResourceVersion = strconv.Itoa(m.version)
	p := &modelPod{m: m, obj: obj, endpoint: endpointWorks}
	if m.chance(0.3) {
		p.endpoint = endpointGaps
	}
	m.pods[name] = p
	return p
}

func (m *model) modelPolicy() *v1alpha1.DrainPolicy {
	p := testobjects.MakePolicy("web").Propagation(int32(m.IntN(4)), 30).With(func(s *v1alpha1.DrainPolicySpec) {
		s.Gate = v1alpha1.Gate{Hold: v1alpha1.HoldDeletion, MaxHoldSeconds: int32(20 + m.IntN(50)), OnStatusFailure: v1alpha1.OnStatusFailureRelease}
		if m.chance(0.5) {
			s.Gate.OnStatusFailure = v1alpha1.OnStatusFailureHold
		}
		if m.chance(0.25) {
			s.Gate.MaxHoldSeconds = 0
		}
	}).Obj()
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDrainStatusReachable, Status: metav1.ConditionTrue}}
	return p
}

func (m *model) propagation() time.Duration {
	if m.policy == nil {
		return 0
	}
	return time.Duration(*m.policy.Spec.PreStop.PropagationSeconds) * time.Second
}

// modelForgets is when the budget's controller takes an eviction for lost.
const modelForgets = 2 * time.Minute

// modelBudget is a disruption budget, its controller, and the eviction API.
type modelBudget struct {
	m           *model
	unavailable int32
	obj         *policyv1.PodDisruptionBudget
	awake       bool
	// idle is when it last wanted no healthy pod.
	idle time.Time
}

func newModelBudget(m *model) *modelBudget {
	b := &modelBudget{m: m, unavailable: int32(1 + m.IntN(2)), obj: &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: metav1.NamespaceDefault, Generation: 1},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}}
	b.wake()
	return b
}

func (b *modelBudget) desired() int32 { return max(0, int32(b.m.set.replicas)-b.unavailable) }

// wake has the status worked out some time later.
func (b *modelBudget) wake() {
	if b.awake {
		return
	}
	b.awake = true
	b.m.in(b.m.between(20*time.Millisecond, 2*time.Second), func() {
		b.awake = false
		b.observe()
	})
}

func (b *modelBudget) observe() {
	next := b.obj.DeepCopy()
	next.Status.ObservedGeneration = next.Generation
	next.Status.DesiredHealthy = b.desired()
	next.Status.CurrentHealthy = 0
	for name, at := range next.Status.DisruptedPods {
		if p := b.m.pods[name]; p == nil || p.obj.DeletionTimestamp != nil || b.m.ago(at.Time) > modelForgets {
			delete(next.Status.DisruptedPods, name)
		}
	}
	for _, p := range b.m.pods {
		if _, disrupted := next.Status.DisruptedPods[p.obj.Name]; modelReady(p.obj) && p.obj.DeletionTimestamp == nil && !disrupted {
			next.Status.CurrentHealthy++
		}
	}
	if b.obj.Status.DesiredHealthy == 0 {
		b.idle = b.m.now()
	}
	next.Status.DisruptionsAllowed = max(0, next.Status.CurrentHealthy-next.Status.DesiredHealthy)
	b.obj = next
}

// mayEvict is the rule of the eviction API; take has it counted.
func (b *modelBudget) mayEvict(p *modelPod, take bool) bool {
	if b == nil {
		return true
	}
	s := b.obj.Status
	if !modelReady(p.obj) && s.CurrentHealthy >= s.DesiredHealthy && s.DesiredHealthy > 0 {
		return true
	}
	if s.ObservedGeneration < b.obj.Generation || s.DisruptionsAllowed <= 0 {
		return false
	}
	if take {
		next := b.obj.DeepCopy()
		next.Status.DisruptionsAllowed--
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, "taken", "by an eviction")
		if next.Status.DisruptedPods == nil {
			next.Status.DisruptedPods = map[string]metav1.Time{}
		}
		next.Status.DisruptedPods[p.obj.Name] = stampOf(b.m.now())
		b.obj = next
		b.wake()
		b.m.in(modelForgets+2*time.Second, b.wake)
	}
	return true
}
