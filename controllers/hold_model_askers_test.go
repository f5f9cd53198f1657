package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

const (
	modelForced    = "forced"
	modelUnguarded = "while no webhook answered"

	byReplicaSet  = "system:serviceaccount:kube-system:replicaset-controller"
	byStatefulSet = "system:serviceaccount:kube-system:statefulset-controller"
)

// ask the API server for a pod's end; false when it refuses.
func (m *model) ask(name string, ask drain.Ask) bool {
	p := m.pods[name]
	if p == nil || p.obj.DeletionTimestamp != nil || ask.UID != "" && ask.UID != p.obj.UID {
		return true
	}
	if ask.Kind == drain.Delete && !ask.DryRun {
		p.deleteAsked = true
	}
	why := modelUnguarded
	if !m.webhookDown {
		v := m.decide(p, ask)
		if !v.Allow {
			m.refused(p, ask, v)
			return false
		}
		why = fmt.Sprintf("%s by %s allowed: %s", ask.Kind, ask.User, v.Reason)
		if v.Reason == drain.AllowedForced {
			why = modelForced
		}
		m.seen["allowed "+string(v.Reason)]++
	}
	if ask.Kind == drain.Evict && !m.budget.mayEvict(p, !ask.DryRun) {
		return false
	}
	if !ask.DryRun {
		p.terminates(why)
	}
	return true
}

// decide as the webhook does: with the pod of the request, or for an eviction
// that of its cache.
func (m *model) decide(p *modelPod, ask drain.Ask) drain.Verdict {
	s := drain.Snapshot{Ask: ask, Pod: p.obj, Policy: m.policy, Releasing: m.uninstalling}
	if ask.Kind == drain.Evict {
		s.Pod = m.webhook.pods[p.obj.Name]
	}
	return drain.Decide(s, m.now())
}

// refused: the wish is written down some time after the answer, or lost.
func (m *model) refused(p *modelPod, ask drain.Ask, v drain.Verdict) {
	m.seen["refused"]++
	if v.Record == nil {
		return
	}
	if ask.DryRun {
		m.breaks("%s: a dry run leaves a trace", p.obj.Name)
	}
	if m.fault(0.02) {
		m.note("%s: a wish of %s is lost", p.obj.Name, ask.User)
		return
	}
	delay := m.between(time.Millisecond, 60*time.Millisecond)
	if m.fault(0.05) {
		delay = m.between(0, 3*time.Second)
	}
	pod := p.obj
	m.in(delay, func() {
		if q := m.pods[pod.Name]; q == p && !p.gone() {
			m.set1(pod, []corev1.PodCondition{*v.Record})
		}
	})
}

// modelSet is the workload and its controller: a ReplicaSet, or a StatefulSet
// with ordered pods, which never asks while one of its pods is not ready.
type modelSet struct {
	m        *model
	ordered  bool
	replicas int
	revision int
	serial   int
	// waking is when its controller looks next; failed counts its failures in a row.
	waking time.Time
	failed int
}

func (s *modelSet) user() string {
	if s.ordered {
		return byStatefulSet
	}
	return byReplicaSet
}

func (s *modelSet) owner() drain.Owner {
	if s.ordered {
		return drain.Owner{
			UID: "1", Kind: "StatefulSet", Replicas: int32(s.replicas),
			RevisionLabel: "controller-revision-hash", Revision: s.revisionName(),
		}
	}
	return drain.Owner{UID: "1", Kind: "ReplicaSet", Replicas: int32(s.replicas)}
}

func (s *modelSet) revisionName() string { return "r" + strconv.Itoa(s.revision) }

func (s *modelSet) create(name string) *modelPod {
	s.m.note("%s: created", name)
	return s.m.newPod(name, s.revisionName())
}

func (s *modelSet) freeName() string {
	if !s.ordered {
		s.serial++
		return fmt.Sprintf("web-%03d", s.serial)
	}
	for i := 0; ; i++ {
		if name := modelOrdinal(i); s.m.pods[name] == nil {
			return name
		}
	}
}

func modelOrdinal(i int) string { return "web-" + strconv.Itoa(i) }

func ordinalOf(p *modelPod) int {
	n, err := strconv.Atoi(strings.TrimPrefix(p.obj.Name, "web-"))
	if err != nil {
		panic(err)
	}
	return n
}

// active are the pods that do not end.
func (s *modelSet) active() []*modelPod {
	var active []*modelPod
	for _, name := range s.m.names() {
		if p := s.m.pods[name]; p.obj.DeletionTimestamp == nil {
			active = append(active, p)
		}
	}
	return active
}

// wake its controller.
func (s *modelSet) wake(after time.Duration) {
	at := s.m.now().Add(after)
	if !s.waking.IsZero() && !s.waking.After(at) {
		return
	}
	s.waking = at
	s.m.in(after, func() {
		if !s.waking.Equal(at) {
			return
		}
		s.waking = time.Time{}
		if s.sync() {
			s.failed = 0
			return
		}
		s.failed++
		s.wake(min(5*time.Millisecond<<min(s.failed, 18), 1000*time.Second))
	})
}

// sync is one round of the controller; false when something was refused.
func (s *modelSet) sync() bool {
	if s.ordered {
		return s.syncOrdered()
	}
	active := s.active()
	for range s.replicas - len(active) {
		p := s.create(s.freeName())
		p.starts()
		s.m.published(p.obj.Name, p.obj)
	}
	slices.SortStableFunc(active, func(a, b *modelPod) int {
		if ready := modelReady(a.obj); ready != modelReady(b.obj) {
			if ready {
				return 1
			}
			return -1
		}
		return strings.Compare(string(b.obj.UID), string(a.obj.UID))
	})
	done := true
	for _, p := range active[:max(0, len(active)-s.replicas)] {
		done = s.m.ask(p.obj.Name, drain.Ask{Kind: drain.Delete, User: s.user(), GraceSeconds: ptr.To(int64(30))}) && done
	}
	return done
}

// syncOrdered does one thing at a time, and nothing while a pod is not ready.
func (s *modelSet) syncOrdered() bool {
	for i := range s.replicas {
		p := s.m.pods[modelOrdinal(i)]
		if p == nil {
			p = s.create(modelOrdinal(i))
			p.starts()
			s.m.published(p.obj.Name, p.obj)
			return true
		}
		if p.obj.DeletionTimestamp != nil || !modelReady(p.obj) {
			return true
		}
	}
	pods := s.active()
	slices.SortFunc(pods, func(a, b *modelPod) int { return ordinalOf(b) - ordinalOf(a) })
	for _, p := range pods {
		if ordinalOf(p) >= s.replicas || p.obj.Labels["controller-revision-hash"] != s.revisionName() {
			return s.m.ask(p.obj.Name, drain.Ask{Kind: drain.Delete, User: s.user()})
		}
	}
	return true
}

// modelDrain is kubectl drain: it evicts, and asks again every 5 s.
type modelDrain struct {
	m    *model
	pods []*modelPod
	ends time.Time
}

func (m *model) drainNode() {
	d := &modelDrain{m: m, ends: modelStart.Add(modelEnd)}
	for _, p := range m.set.active() {
		if m.chance(0.5) {
			d.pods = append(d.pods, p)
		}
	}
	if m.chance(0.3) { // interrupted
		d.ends = m.now().Add(m.between(0, 30*time.Second))
	}
	m.note("kubectl drain of %d pods", len(d.pods))
	m.drains = append(m.drains, d)
	d.round()
}

func (d *modelDrain) round() {
	d.pods = slices.DeleteFunc(d.pods, func(p *modelPod) bool { return d.m.pods[p.obj.Name] != p })
	if len(d.pods) == 0 || d.m.now().After(d.ends) {
		return
	}
	for _, p := range d.pods {
		d.m.ask(p.obj.Name, drain.Ask{Kind: drain.Evict, User: "drainer", UID: p.obj.UID})
	}
	d.m.in(5*time.Second, d.round)
}

func (d *modelDrain) atRest() {
	if len(d.pods) > 0 && d.m.now().Before(d.ends) && d.m.budget == nil {
		d.m.breaks("kubectl drain has not ended")
	}
}

// plans what is to happen.
func (m *model) plans() {
	for range 3 + m.IntN(12) {
		m.in(m.between(0, modelUnrest), m.something)
	}
	m.in(modelUnrest, m.calm)
}

// something happens.
func (m *model) something() {
	happenings := []func(){
		m.scale, m.scale, m.scale, m.person, m.person, m.drainNode, m.drainNode, m.rollout, m.rollout,
		m.endpoint, m.lateKubelet, m.crash, m.editPolicy, m.losePolicy, m.uninstall, m.changeLeader, m.changeLeader, m.hang, m.hang, m.loseWebhook, m.forbid,
	}
	happenings[m.IntN(len(happenings))]()
}

func (m *model) scale() {
	was := m.set.replicas
	m.set.replicas = m.IntN(6)
	m.disturbed = m.now() // a budget's status needs some time for that
	m.note("scale from %d to %d", was, m.set.replicas)
	m.rescaled()
	if m.chance(0.5) { // and back
		m.in(m.between(time.Second, 30*time.Second), func() {
			m.set.replicas = was
			m.disturbed = m.now()
			m.note("scale back to %d", was)
			m.rescaled()
		})
	}
}

func (m *model) rescaled() {
	m.set.failed = 0
	m.set.wake(m.between(time.Millisecond, 100*time.Millisecond))
	if m.budget != nil {
		m.budget.wake()
	}
}

func (m *model) rollout() {
	if m.set.ordered {
		m.set.revision++
		m.note("rollout of revision %d", m.set.revision)
		m.set.wake(m.between(time.Millisecond, 100*time.Millisecond))
	}
}

// person deletes a pod: once, mostly.
func (m *model) person() {
	p := m.anyPod()
	if p == nil {
		return
	}
	ask := drain.Ask{Kind: drain.Delete, User: "ann"}
	switch m.IntN(10) {
	case 0:
		ask.DryRun = true
	case 1:
		ask.GraceSeconds = ptr.To(int64(0))
	case 2, 3, 4:
		ask.GraceSeconds = ptr.To(int64(5))
	}
	m.note("%s: kubectl delete %+v", p.obj.Name, ask)
	m.ask(p.obj.Name, ask)
}

func (m *model) endpoint() {
	if p := m.anyPod(); p != nil {
		p.endpoint = []modelEndpoint{endpointGaps, endpointFails, endpointLies}[m.IntN(3)]
		m.note("%s: its endpoint %s", p.obj.Name, p.endpoint)
		m.in(m.between(time.Second, 40*time.Second), func() { p.endpoint = endpointWorks })
	}
}

func (m *model) lateKubelet() {
	if p := m.anyPod(); p != nil {
		p.lateKubelet, p.late = m.between(2*time.Second, 30*time.Second), m.now()
		m.note("%s: its kubelet is late by %v", p.obj.Name, p.lateKubelet)
		m.in(m.between(time.Second, 40*time.Second), func() { p.lateKubelet, p.late = 0, m.now() })
	}
}

func (m *model) crash() {
	if p := m.anyPod(); p != nil && !p.gone() && modelReady(p.obj) {
		p.crashes()
	}
}

// editPolicy as long as it holds.
func (m *model) editPolicy() {
	if m.policy == nil {
		return
	}
	edited := m.modelPolicy()
	edited.Spec.PreStop.PropagationSeconds = m.policy.Spec.PreStop.PropagationSeconds
	m.loose = m.now() // what its bound is, is a matter of the moment
	m.policy = edited
	m.note("policy: held for at most %v", drain.MaxHold(edited))
}

func (m *model) losePolicy() {
	was := m.policy
	if was == nil {
		return
	}
	lost := was.DeepCopy()
	switch m.IntN(3) {
	case 0:
		lost, m.nobodyTells = nil, true
	case 1:
		lost.Spec.Mode = v1alpha1.ModeObserve
	default:
		lost.Spec.Gate.Hold = v1alpha1.HoldTermination
	}
	m.policy, m.loose = lost, m.now()
	m.note("policy: lost (%v)", lost == nil)
	m.everybody()
	m.in(m.between(time.Second, 30*time.Second), func() {
		m.policy, m.loose = was, m.now()
		m.note("policy: back")
		m.everybody()
	})
}

// everybody has all pods looked at: an edit of a policy does.
func (m *model) everybody() {
	for _, name := range m.names() {
		m.leader().enqueue(name, m.between(0, time.Second))
	}
}

func (m *model) uninstall() {
	m.uninstalling, m.loose = true, m.now()
	m.note("uninstall")
	m.in(m.between(time.Second, 20*time.Second), func() {
		m.uninstalling, m.loose = false, m.now()
		m.note("installed again")
	})
}

// changeLeader: one ends, some time later another begins, with no memory. One
// that hung may not have noticed, and goes on for a moment.
func (m *model) changeLeader() {
	old := m.leader()
	if old.ending {
		return
	}
	old.ending = true
	overlap := old.hangs() > 0 && m.chance(0.5)
	m.note("the leader ends; it does not know: %v", overlap)
	if overlap {
		m.in(old.hangs()+m.between(0, time.Second), func() { old.over = true })
	} else {
		old.over = true
	}
	gap := m.between(0, 15*time.Second)
	old.up = m.now().Add(gap)
	m.in(gap, m.newLeader)
}

// hang: the leader does nothing for a while, and goes on as if nothing had been.
func (m *model) hang() {
	l := m.leader()
	l.hangsUntil = m.now().Add(m.between(time.Second, 30*time.Second))
	l.up = l.hangsUntil
	m.note("the leader hangs for %v", l.hangs())
}

func (m *model) loseWebhook() {
	m.webhookDown = true
	m.note("no webhook answers")
	m.in(m.between(time.Second, 10*time.Second), func() { m.webhookDown = false })
}

// forbid: the API server refuses whatever the operator asks for, not what others do.
func (m *model) forbid() {
	m.forbids = apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("only people delete"))
	if m.chance(0.5) {
		m.forbids = apierrors.NewInternalError(errors.New("failed calling webhook"))
	}
	m.note("releases are refused: %v", m.forbids)
	m.in(m.between(5*time.Second, 60*time.Second), func() {
		m.forbids, m.forbade = nil, m.now()
		m.note("releases are no longer refused")
	})
}

// calm: no more faults, and everything works.
func (m *model) calm() {
	m.note("calm")
	m.quiet = true
	for _, name := range m.names() {
		m.pods[name].endpoint, m.pods[name].lateKubelet = endpointWorks, 0
	}
}
