package scale

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf/audit"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

const (
	// settle is how long nothing is measured after a start.
	settle = 10 * time.Second
	// resting is how long the operator is watched at rest.
	resting = 2 * time.Minute
	// sampled is how often its memory is looked at meanwhile.
	sampled = time.Second
)

// grow creates what is missing of the pods, through the webhook, and waits until
// all run and are counted.
func (b *bench) grow(ctx context.Context, m *measured) error {
	statuses, err := b.followPolicies(ctx)
	if err != nil {
		return err
	}
	defer statuses.stop()
	if _, err := statuses.await(ctx, b.process.Alive, policies, "policies that work", works(b.pods)); err != nil {
		return err
	}
	running, err := b.followRunning(ctx)
	if err != nil {
		return err
	}
	defer running.stop()
	b.say("creating pods, up to %d", m.pods)
	began, from, perPolicy := time.Now(), b.pods, m.pods/policies
	if err := fleet.Each(ctx, b.workloads, func(ctx context.Context, w fleet.Workload) error {
		for number := from; number < perPolicy; number++ {
			if err := b.createPod(ctx, w, number); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	m.perSecond = float64(m.pods-from*policies) / time.Since(began).Seconds()
	b.pods = perPolicy
	if _, err := running.await(ctx, b.process.Alive, m.pods, "pods that run", func(runs bool) bool { return runs }); err != nil {
		return err
	}
	if _, err := statuses.await(ctx, b.process.Alive, policies, "policies that count their pods", works(perPolicy)); err != nil {
		return err
	}
	u, err := b.process.Use()
	m.creating = u
	return err
}

func (b *bench) createPod(ctx context.Context, w fleet.Workload, number int) error {
	pod := w.Pod(number, fleet.NodeName((w.Number+number)%nodes))
	if err := b.client.Create(ctx, pod); err != nil {
		return err
	}
	if name, _, ok := condition.InjectedBy(pod); !ok || name != w.Name {
		return fmt.Errorf("pod %s/%s was not injected for policy %s", pod.Namespace, pod.Name, w.Name)
	}
	return nil
}

// cold starts the operator as after an installation: there is no certificate, no
// webhook, and no policy has a status.
func (b *bench) cold(ctx context.Context, m *measured) error {
	if err := b.stop(); err != nil {
		return err
	}
	statuses, err := b.followPolicies(ctx)
	if err != nil {
		return err
	}
	defer statuses.stop()
	b.say("taking away all statuses, the certificate and the webhook")
	if err := b.forget(ctx); err != nil {
		return err
	}
	running := func() error { return nil } // until it does
	if _, err := statuses.await(ctx, running, policies, "policies without a status", notJudged); err != nil {
		return err
	}
	b.say("a cold start")
	if err := b.start(ctx); err != nil {
		return err
	}
	m.coldReady = b.process.ReadyAfter
	at, err := statuses.await(ctx, b.process.Alive, policies, "policies with a status", judged)
	if err != nil {
		return err
	}
	m.coldJudged = at.Sub(b.process.Started)
	if at, err = statuses.await(ctx, b.process.Alive, policies, "policies that work", works(b.pods)); err != nil {
		return err
	}
	m.coldWorking = at.Sub(b.process.Started)
	if m.coldRequests, err = audit.Read(b.audit, b.process.Started, time.Now()); err != nil {
		return err
	}
	m.coldUse, err = b.process.Use()
	return err
}

// forget makes it as if no operator had ever run, but for the pods.
func (b *bench) forget(ctx context.Context) error {
	for _, object := range []client.Object{
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: registration.ConfigurationName}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: framework.OperatorNamespace, Name: "drain-operator-webhook-cert"}},
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: framework.OperatorNamespace, Name: "drain-operator"}},
	} {
		if err := b.client.Delete(ctx, object); err != nil {
			return err
		}
	}
	return b.changeStatuses(ctx, func(status *v1alpha1.DrainPolicyStatus) { *status = v1alpha1.DrainPolicyStatus{} })
}

func (b *bench) changeStatuses(ctx context.Context, change func(*v1alpha1.DrainPolicyStatus)) error {
	return fleet.Each(ctx, b.workloads, func(ctx context.Context, w fleet.Workload) error {
		p := &v1alpha1.DrainPolicy{}
		if err := b.client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Name}, p); err != nil {
			return err
		}
		change(&p.Status)
		return b.client.Status().Update(ctx, p)
	})
}

// warm starts it anew where everything has been as it should be for long. What
// has just changed would be looked at again at once.
func (b *bench) warm(ctx context.Context, m *measured) error {
	if err := b.stop(); err != nil {
		return err
	}
	if err := b.changeStatuses(ctx, func(status *v1alpha1.DrainPolicyStatus) {
		for i := range status.Conditions {
			status.Conditions[i].LastTransitionTime.Time = time.Now().Add(-time.Hour)
		}
	}); err != nil {
		return err
	}
	b.say("a warm start")
	if err := b.start(ctx); err != nil {
		return err
	}
	m.warmReady = b.process.ReadyAfter
	visited := map[string]string{"controller": "drainpolicy"}
	err := wait.PollUntilContextTimeout(ctx, 10*glance, timeout, true, func(context.Context) (bool, error) {
		page, err := b.process.Page()
		if err != nil {
			return false, err
		}
		return page.Sum("controller_runtime_reconcile_total", visited) >= policies, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the operator has visited all policies: %w", err)
	}
	m.warmVisited = time.Since(b.process.Started)
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	m.warmRequests, err = audit.Read(b.audit, b.process.Started, time.Now())
	return err
}

// rest watches it while nothing changes. Nobody asks it for metrics meanwhile.
func (b *bench) rest(ctx context.Context, m *measured) error {
	b.say("%v of rest", resting)
	before, err := b.process.Use()
	if err != nil {
		return err
	}
	from := time.Now().Add(sampled)
	for time.Since(from) < resting {
		if err := sleep(ctx, sampled); err != nil {
			return err
		}
		seen, err := b.process.Memory()
		if err != nil {
			return err
		}
		m.resident, m.own = append(m.resident, seen.Resident), append(m.own, seen.Own)
	}
	to := time.Now()
	if m.restUse, err = b.process.Use(); err != nil {
		return err
	}
	m.busy = (m.restUse.CPU - before.CPU).Seconds() / to.Sub(from).Seconds()
	m.rested = to.Sub(from)
	m.restRequests, err = audit.Read(b.audit, from, to)
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
