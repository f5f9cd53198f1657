package plan

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/server"
)

// alignServers lengthens the graceful timeouts of servers that take it from
// their environment to what the grace leaves them, where nobody has set it.
func (b *builder) alignServers() {
	if !b.set.alignServers {
		return
	}
	for i := range b.pod.Spec.Containers {
		c := &b.pod.Spec.Containers[i]
		found, ok := server.Of(c)
		left := b.leftAfterRelease(c)
		switch {
		case !ok || found.Known && (found.Timeout == nil || *found.Timeout >= left):
		case found.Unset(c):
			b.plan.Variables = append(b.plan.Variables, Variable{
				Container: c.Name, Name: server.VariableGunicorn, Value: found.Flag() + "=" + strconv.FormatInt(left, 10),
			})
		default:
			b.noteOn(c, NoteTimeoutNotAligned, fmt.Sprintf("the grace leaves %d s after SIGTERM; %s", left, notAligned(found)))
		}
	}
}

func notAligned(s server.Server) string {
	switch {
	case s.Kind != server.Gunicorn && s.From == server.FromDefault:
		return fmt.Sprintf("%s takes its graceful timeout from no variable: set %s", s.Kind, s.Flag())
	case s.Kind != server.Gunicorn:
		return fmt.Sprintf("the graceful timeout of %s is set by the pod: the operator changes it nowhere", s.Kind)
	}
	return "the pod sets Gunicorn's graceful timeout, or may do so: it is left alone"
}

// leftAfterRelease is what the grace leaves a container between the latest
// moment at which the policy lets go of it and the kubelet's last seconds, in
// seconds. Where the container keeps a hook of its own, that is the bound: nobody
// knows how long it takes.
func (b *builder) leftAfterRelease(c *corev1.Container) int64 {
	return max(0, b.times.grace-b.latestRelease(c)-killSeconds)
}

func (b *builder) latestRelease(c *corev1.Container) int64 {
	hook, injected := b.plannedHook(c)
	switch {
	case injected && hook.Handler.Sleep != nil:
		return hook.Handler.Sleep.Seconds
	case injected && b.set.release == v1alpha1.ReleaseWhenOutOfRotation && preStop(c) == nil:
		return min(int64(b.set.propagationMax), b.times.bound)
	case !injected && preStop(c) == nil:
		return 0
	}
	return b.times.bound
}

func (b *builder) plannedHook(c *corev1.Container) (Hook, bool) {
	at := slices.IndexFunc(b.plan.Hooks, func(h Hook) bool { return h.Container == c.Name })
	if at < 0 {
		return Hook{}, false
	}
	return b.plan.Hooks[at], true
}

// applyVariables appends what is planned. Build plans none for a container that
// has a variable of that name.
func applyVariables(spec *corev1.PodSpec, variables []Variable) {
	for _, v := range variables {
		if c := findContainer(spec.Containers, v.Container); c != nil {
			c.Env = append(c.Env, corev1.EnvVar{Name: v.Name, Value: v.Value})
		}
	}
}

// removeVariables takes out those that still are as they were set.
func removeVariables(spec *corev1.PodSpec, set []Variable) {
	for _, v := range set {
		if c := findContainer(spec.Containers, v.Container); c != nil && v.Name == server.VariableGunicorn {
			c.Env = deleteFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == v.Name && e.Value == v.Value && e.ValueFrom == nil })
		}
	}
}
