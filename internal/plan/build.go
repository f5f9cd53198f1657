package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// Build works out what policy p injects into a pod. A pod that was injected
// already is taken for what it was before.
func Build(p *v1alpha1.DrainPolicy, pod *corev1.Pod, o Options) Plan {
	was, _ := original(pod)
	set := settingsOf(p)
	set.grace.elsewhere = measuredElsewhere(p, was)
	planned := build(p, was, set, o)
	// Which sleeps stay is known once there are hooks. No grace changes that.
	if longest := longestSleep(&was.Spec, planned.Hooks); longest > planned.GraceSeconds {
		set.grace.sleep = longest
		planned = build(p, was, set, o)
	}
	return planned
}

// build works it out for a pod that is not injected.
func build(p *v1alpha1.DrainPolicy, was *corev1.Pod, set settings, o Options) Plan {
	spec := &was.Spec
	times := set.grace.time(ownGrace(spec), int64(set.propagationMax), stayingHooks(spec, set))
	b := builder{
		pod:     was,
		set:     set,
		options: o,
		times:   times,
		serving: servingOf(spec, set),
		plan: Plan{
			Policy:       p.Name,
			Generation:   p.Generation,
			GraceSeconds: times.grace,
			BoundSeconds: times.bound,
			ProbeGraces:  probeGraces(spec, times.grace),
		},
	}
	if times.grace < times.wanted {
		b.note(graceCapped(times))
	}
	b.addHooks()
	b.addStopNotes()
	b.alignServers()
	b.addDelivery()
	b.addReadinessGate(p)
	return b.plan
}

// stayingHooks is how long the native sleep hooks that stay take.
func stayingHooks(spec *corev1.PodSpec, set settings) int64 {
	if set.existing == v1alpha1.ExistingHookReplace && set.strategy != v1alpha1.StrategyNone {
		return 0
	}
	return min(sleepingHooks(spec.Containers), maxReasonableSeconds)
}

// builder carries what Build's steps share.
type builder struct {
	pod     *corev1.Pod // as it was before any injection
	set     settings
	options Options
	times   timing
	serving serving

	// recorded counts the bytes of hooks that the original's record will hold.
	recorded int
	plan     Plan
}

// note adds a note once.
func (b *builder) note(n Note) {
	if !slices.Contains(b.plan.Notes, n) {
		b.plan.Notes = append(b.plan.Notes, n)
	}
}

func (b *builder) noteOn(c *corev1.Container, reason NoteReason, message string) {
	n := Note{Reason: reason, Message: message}
	if c != nil {
		n.Container = c.Name
	}
	b.note(n)
}

// addHooks gives every regular container its hook. Native sidecars need none:
// they end after the regular containers.
func (b *builder) addHooks() {
	if b.set.strategy == v1alpha1.StrategyNone {
		return
	}
	for i := range b.pod.Spec.Containers {
		c := &b.pod.Spec.Containers[i]
		handler := b.hookFor(c)
		if handler == nil {
			continue
		}
		b.plan.Hooks = append(b.plan.Hooks, Hook{Container: c.Name, Handler: *handler})
	}
	if b.set.strategy == v1alpha1.StrategyAgent {
		b.addServingNotes()
	}
}

// addServingNotes tells what the agents of this pod cannot know; nothing where
// no agent runs.
func (b *builder) addServingNotes() {
	if len(b.plan.AgentContainers()) == 0 {
		return
	}
	for _, n := range b.serving.notes {
		b.note(n)
	}
}

// hookFor is the hook that a container gets; nil leaves it as it is.
func (b *builder) hookFor(c *corev1.Container) *corev1.LifecycleHandler {
	existing := preStop(c)
	switch {
	case existing == nil:
		return b.newHook(c, nil)
	case b.set.existing == v1alpha1.ExistingHookKeep:
		b.noteOn(c, NoteHookKept, "the container keeps its own preStop hook, as the policy says")
		return nil
	case !b.canRecord(existing):
		b.noteOn(c, NoteHookTooLarge, "the container keeps its own preStop hook: it is too large to be carried along")
		return nil
	case b.set.existing == v1alpha1.ExistingHookReplace:
		return b.newHook(c, nil)
	}
	return b.combined(c, existing)
}

// combined is the agent's hook with the container's own before or after it.
func (b *builder) combined(c *corev1.Container, existing *corev1.LifecycleHandler) *corev1.LifecycleHandler {
	if obstacle := b.obstacle(c); obstacle != nil {
		b.note(*obstacle)
		b.noteOn(c, NoteHookKept, "the container keeps its own preStop hook: it cannot be combined with a native sleep")
		return nil
	}
	last := b.set.existing == v1alpha1.ExistingHookRunLast
	translated, ok := existingHook(c, existing, last)
	if !ok {
		b.noteOn(c, NoteHookBroken, "the container's own preStop hook cannot run: the kubelet supports no tcpSocket, and no port that is not declared")
		translated = nil
	}
	return b.newHook(c, translated)
}

// newHook runs the agent where that is possible, and else sleeps.
func (b *builder) newHook(c *corev1.Container, existing *hold.ExistingHook) *corev1.LifecycleHandler {
	obstacle := b.obstacle(c)
	if obstacle == nil {
		if command, err := b.holdSpec(c, existing).Command(); err == nil {
			return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}
		}
		obstacle = &Note{} // not reached: a Spec always encodes
	}
	if obstacle.Reason != "" {
		b.note(*obstacle)
	}
	return &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{
		// A sleep longer than the grace would make the pod invalid.
		Seconds: min(int64(b.set.propagationMax), b.times.bound),
	}}
}

// obstacle says what keeps the agent out of a container; nil when nothing
// does. Its reason is empty where the policy itself asks for a sleep.
func (b *builder) obstacle(c *corev1.Container) *Note {
	switch {
	case b.set.strategy == v1alpha1.StrategySleep:
		return &Note{}
	case b.options.SleepOnly:
		return &Note{Reason: NoteSleepOnly, Message: "the agent cannot be installed in this namespace: native sleep"}
	case b.emptyDirAvoided():
		return &Note{Reason: NoteEmptyDirAvoided, Message: "the agent would need an emptyDir, which makes kubectl drain refuse the pod: native sleep"}
	case isSmall(c, &b.pod.Spec):
		return &Note{Reason: NoteSmallContainer, Container: c.Name, Message: fmt.Sprintf(
			"a limit below %s of memory or %s of cpu leaves no room for the agent: native sleep", &smallMemory, &smallCPU)}
	case agentDirTaken(c):
		return &Note{Reason: NoteMountTaken, Container: c.Name, Message: "the container mounts something at " + hold.AgentDir + ": native sleep"}
	}
	return nil
}

// holdSpec is what the agent in a container needs to know.
func (b *builder) holdSpec(c *corev1.Container, existing *hold.ExistingHook) hold.Spec {
	v := &b.serving
	spec := hold.Spec{
		Role:                  hold.RoleServe,
		ReleaseWhen:           string(b.set.release),
		PropagationSeconds:    b.set.propagation,
		PropagationMaxSeconds: b.set.propagationMax,
		BoundSeconds:          int32(b.times.bound), //nolint:gosec // bounded by maxReasonableSeconds
		HTTP:                  v.http,
		TCP:                   v.tcp,
		Notify:                v.notify,
		ServePorts:            v.ports,
		Blind:                 v.blind,
		ReadinessProbes:       v.readiness,
		Alive:                 aliveProbe(c),
		Existing:              existing,
		TerminationLog:        c.TerminationMessagePath,
		LogsOnError:           c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError,
	}
	if spec.TerminationLog == "" {
		spec.TerminationLog = corev1.TerminationMessagePathDefault
	}
	if v.http != nil && v.http.DrainedWhen == string(v1alpha1.DrainedWhenBody) { // else nobody tells them from requests
		spec.LongLived = b.set.longLived
	}
	if !v.servers.Has(c.Name) {
		spec.Role, spec.Notify, spec.LongLived, spec.ServePorts = hold.RoleFollow, nil, nil, v.followPorts
	}
	spec.Stop = b.stopFor(c)
	return spec
}
