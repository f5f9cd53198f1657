// Package release measures on a real cluster how long SIGTERM comes after a
// pod's last response: agent, kubelet and container runtime together.
package release

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
)

// Group is the name of this benchmark.
const Group = "release"

const (
	// Pods are drained in waves, so many of each mode at a time. Their last
	// responses come one after the other: what is measured is the end of one
	// pod, not a crowd on two cores.
	perWave  = 5
	maxWaves = 30

	// enough drains for a 0.99 quantile that is not simply the longest.
	enough = 100

	// marginMs is what comes on top of what a mode cannot know earlier:
	// docs/performance.md has the bounds.
	marginMs = 100

	// Times of the policies, in seconds: so short that the requests, not
	// rotation, keep the pods alive.
	propagation, propagationMax = 1, 2
	maxHold                     = 40
	ownGrace                    = 60
	pollSeconds                 = 1
	idleSeconds                 = 2
)

// mode is a way in which the agent learns what is in flight.
type mode struct {
	name    string
	what    string
	policy  *framework.PolicyBuilder
	boundMs float64
}

func modes() []mode {
	policy := func(name string) *framework.PolicyBuilder {
		return framework.Policy(name).Propagation(propagation, propagationMax).MaxHold(maxHold)
	}
	return []mode{
		{"long-poll", "HTTP, long-poll", policy("long-poll").HTTP(v1alpha1.DrainedWhenBody), marginMs},
		{"polled", fmt.Sprintf("HTTP, polled every %d s", pollSeconds), policy("polled").HTTP(v1alpha1.DrainedWhenStatusCode).
			With(func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.PeriodSeconds = pollSeconds }), 1000*pollSeconds + marginMs},
		// Work arrives on one port. On the other this benchmark asks whether the
		// request is under way, with answers too quick for the kernel's clock.
		{"tcp", fmt.Sprintf("TCP, idle after %d s", idleSeconds), policy("tcp").TCP(idleSeconds).
			With(func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.TCP.Ports = []int32{framework.WorkPort} }), 1000*idleSeconds + marginMs},
	}
}

// Measure drains pods of all modes on the cluster.
func Measure(ctx context.Context, image string, say func(string, ...any)) (figures []perf.Figure, err error) {
	env, err := framework.Connect()
	if err != nil {
		return nil, err
	}
	n, err := onpods.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close(ctx)) }()
	b := bench{Namespace: n, say: say, image: image, modes: modes(), samples: map[string]perf.Sample{}}
	for _, m := range b.modes {
		say("policy %s", m.what)
		if err := n.Apply(ctx, m.policy.Obj(), b.pod(m, m.name)); err != nil {
			return nil, err
		}
	}
	for b.waves < maxWaves && !b.hasEnough() {
		began := time.Now()
		if err := b.wave(ctx, b.waves); err != nil {
			return nil, fmt.Errorf("wave %d: %w", b.waves+1, err)
		}
		b.waves++
		say("wave %d in %.0f s: %s", b.waves, time.Since(began).Seconds(), b.soFar())
	}
	return b.figures()
}

func (b *bench) figures() ([]perf.Figure, error) {
	var figures []perf.Figure
	for _, m := range b.modes {
		s := b.samples[m.name]
		if len(s) < enough {
			return nil, fmt.Errorf("%s: %d drains can be judged, %d are needed; %d were still in rotation at their last response, %d failed",
				m.what, len(s), enough, b.tooEarly, b.failed)
		}
		what := "last response to SIGTERM, " + m.what
		figures = append(figures, s.Figure(Group, what, 0.5), s.Figure(Group, what, 0.99).AtMost(m.boundMs))
	}
	return append(figures, perf.Figure{
		Group: Group, What: "drains that did not end as they should", Value: float64(b.failed), Samples: b.waves * perWave * len(b.modes),
	}.AtMost(0)), nil
}

func (b *bench) hasEnough() bool {
	for _, m := range b.modes {
		if len(b.samples[m.name]) < enough {
			return false
		}
	}
	return true
}

// soFar is a look at the samples.
func (b *bench) soFar() string {
	var parts []string
	for _, m := range b.modes {
		if s := b.samples[m.name]; len(s) > 0 {
			parts = append(parts, fmt.Sprintf("%s %.0f/%.0f ms", m.name, perf.Millis(s.Quantile(0.5)), perf.Millis(s.Quantile(1))))
		}
	}
	return fmt.Sprintf("%d drains, median/longest %s; %d in rotation too long to count, %d failed", b.waves*perWave*len(b.modes), strings.Join(parts, ", "), b.tooEarly, b.failed)
}

// pod is the workload of the journeys. It listens for its status in all modes,
// so that pods differ in nothing but the policy that selects them.
func (b *bench) pod(m mode, name string) *corev1.Pod {
	return framework.Pod(name).Label("app", m.name).Status("ok").Grace(ownGrace).With(func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Image = b.image
	}).Obj()
}
