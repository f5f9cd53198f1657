package controllers

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// modelWish is one hold of a pod, from the first refusal that was written down.
type modelWish struct {
	m     *model
	p     *modelPod
	since time.Time
	// evictable counts how often an overdue eviction was possible.
	evictable int
	over      bool
}

// current is the pod's wish, if it is still this one.
func (w *modelWish) current() (drain.Wish, bool) {
	if w.p.gone() {
		return drain.Wish{}, false
	}
	wish, asked := drain.WishOf(w.p.obj)
	return wish, asked && wish.Since.Equal(w.since)
}

// wished follows a wish from its beginning, and judges its end.
func (m *model) wished(p *modelPod, old *corev1.Pod) {
	was, had := drain.WishOf(old)
	is, has := drain.WishOf(p.obj)
	if has && is.Kind == drain.Delete && !p.deleteAsked {
		m.breaks("%s: nobody asked for a DELETE", p.obj.Name)
	}
	switch {
	case has && (!had || !was.Since.Equal(is.Since)):
		m.seen["wishes"]++
		w := &modelWish{m: m, p: p, since: is.Since}
		m.wishes = append(m.wishes, w)
		w.watch()
	case had && !has && p.obj.DeletionTimestamp == nil:
		p.judgeTakenBack(was, drain.HoldEnd(modelCondition(p.obj, v1alpha1.PodDeletionRequested).Reason))
	}
}

// watch looks every few seconds whether a wish is overdue.
func (w *modelWish) watch() {
	w.m.in(2*time.Second, func() {
		wish, current := w.current()
		if !current {
			w.over = true
			return
		}
		since, overdue := w.overdue(wish)
		if !overdue || w.m.ago(since) < modelSlack || w.m.ago(w.m.leader().up) < modelSlack ||
			w.m.forbids != nil || w.m.ago(w.m.forbade) < modelSlack {
			w.evictable = 0
			w.watch()
			return
		}
		if wish.Kind == drain.Evict && !w.m.budget.mayEvict(w.p, false) {
			w.evictable = 0
		} else if w.evictable++; wish.Kind == drain.Delete || w.evictable > 5 {
			w.m.breaks("%s is held for %v, and was to be let go %v ago", w.p.obj.Name, w.m.ago(w.since), w.m.ago(since))
		}
		w.watch()
	})
}

// overdue says since when a pod was to be let go.
func (w *modelWish) overdue(wish drain.Wish) (since time.Time, is bool) {
	if !w.m.holds() {
		return w.m.loose, true
	}
	until := wish.Until(drain.MaxHold(w.m.policy))
	return later(until, w.m.loose), !w.m.now().Before(until)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// atRest: whoever was refused has got it, or did not want it any more.
func (w *modelWish) atRest() {
	if wish, current := w.current(); current {
		w.m.breaks("%s is held at the end, for %v, by %s (%s)", w.p.obj.Name, w.m.ago(w.since), wish.By, wish.Kind)
	}
}

// holds says whether the policy holds deletions now.
func (m *model) holds() bool { return drain.Holds(m.policy) && !m.uninstalling }

// judgeEnd: may this pod end now?
func (p *modelPod) judgeEnd(why string) {
	m, n := p.m, p.inFlight()
	m.seen["ends"]++
	if n == 0 && !p.getsWork() || p.obj.Status.ContainerStatuses == nil || p.obj.Status.ContainerStatuses[0].State.Running == nil {
		return
	}
	wish, asked := drain.WishOf(p.obj)
	switch {
	case !m.holds(), m.ago(m.loose) < modelLag: // by design
	case why == modelForced, why == modelUnguarded:
	case m.ago(p.started) < modelLag && strings.HasSuffix(why, string(drain.AllowedNothingRuns)): // ready since less than a second
	case m.ago(p.doubtful) < modelLag, m.ago(p.late) < time.Minute: // nobody can know
	case asked && !m.now().Before(wish.Until(drain.MaxHold(m.policy))):
		m.seen["ends at the bound"]++
	default:
		m.breaks("%s ends with %d in flight, gets work: %v, long before its bound; %s; %+v", p.obj.Name, n, p.getsWork(), why, wish)
	}
}

// judgeRefused: the operator's releases are refused. After the first of them,
// whoever else asks must be let through.
func (p *modelPod) judgeRefused(release drain.Release) {
	m := p.m
	m.seen["releases refused"]++
	if release.Why == drain.EndNotHeld { // others are let through without a word
		return
	}
	if m.ago(p.refusedLast) > modelLag+time.Second {
		p.refusedSince = m.now()
	}
	p.refusedLast = m.now()
	if m.ago(p.refusedSince) > 2*modelLag && !modelSaid(p.obj) {
		m.breaks("%s: its release is refused for %v, and others are refused, too", p.obj.Name, m.ago(p.refusedSince))
	}
}

// modelSaid says that the leader has written that a pod may go.
func modelSaid(obj *corev1.Pod) bool {
	d := modelCondition(obj, v1alpha1.PodDrained)
	return d != nil && d.Status != corev1.ConditionFalse
}

// judgeConditions: may the leader write this?
func (p *modelPod) judgeConditions(conditions []corev1.PodCondition) {
	for _, c := range conditions {
		if c.Type == v1alpha1.PodDrained && c.Status == corev1.ConditionFalse { // it waits again
			p.refusedLast = time.Time{}
		}
		if c.Type == v1alpha1.PodInRotation && c.Status == corev1.ConditionFalse && modelTrue(p.obj, v1alpha1.PodInRotation) && modelReady(p.obj) {
			p.judgeTakenOut()
		}
	}
}

// judgeTakenOut: is there one pod more than the budget needs?
func (p *modelPod) judgeTakenOut() {
	m := p.m
	m.seen["taken out"]++
	if m.budget == nil || m.ago(m.disturbed) < modelLag {
		return
	}
	var healthy int32
	for _, q := range m.pods {
		if modelReady(q.obj) && !drain.OutOfRotation(q.obj) && q.obj.DeletionTimestamp == nil {
			healthy++
		}
	}
	if healthy <= m.budget.desired() {
		m.breaks("%s is taken out of rotation, and the budget needs %d of %d healthy pods", p.obj.Name, m.budget.desired(), healthy)
	}
}

// judgeTakenBack: is it true that nobody wants the pod's end any more?
func (p *modelPod) judgeTakenBack(wish drain.Wish, end drain.HoldEnd) {
	m := p.m
	m.note("%s: no longer wanted: %s, asked by %s", p.obj.Name, end, wish.By)
	switch end {
	case drain.EndTakenBack:
		if !wish.ByWorkload() {
			m.breaks("%s: a wish of %s was taken back", p.obj.Name, wish.By)
		}
	case drain.EndExpired:
		if m.ago(wish.LastAsked) < drain.WishExpires {
			m.breaks("%s: a wish expired %v after it was last asked", p.obj.Name, m.ago(wish.LastAsked))
		}
	case drain.EndNotHeld:
		if wish.Kind == drain.Delete {
			m.breaks("%s: a deletion was lost, since its policy no longer holds it", p.obj.Name)
		}
	default:
		m.breaks("%s: a wish ended, and its pod did not: %s", p.obj.Name, end)
	}
}

// atRest: in rotation, and told so.
func (p *modelPod) atRest() {
	m := p.m
	if p.obj.DeletionTimestamp != nil {
		m.breaks("%s does not end", p.obj.Name)
		return
	}
	if !modelTrue(p.obj, v1alpha1.PodInRotation) || !modelReady(p.obj) {
		m.breaks("%s is not in rotation at the end", p.obj.Name)
	}
	if p.told != nil && *p.told && !m.nobodyTells {
		m.breaks("%s still thinks that it drains", p.obj.Name)
	}
}
