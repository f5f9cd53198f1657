package availability

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/test/perf/creations"
)

// phase is something that goes on while pods are made.
type phase struct {
	what string
	// args are further flags of the operator in this phase.
	args []string
	// mayMiss: the operator is hurt in a way in which no webhook that fails open
	// could keep every pod.
	mayMiss bool
	// run makes it happen, and returns when it is over.
	run func(context.Context) error
}

// A certificate of the rotation's phase lives for so long, is renewed when a
// third of that is left, and each step of it takes the overlap.
const (
	validity    = 30 * time.Second
	overlap     = 3 * time.Second
	rotationMax = 2 * validity
)

func (b *bench) phases() []phase {
	return []phase{
		{what: "rolling restart", run: func(ctx context.Context) error { return errors.Join(b.Restart(ctx), b.AwaitRollout(ctx)) }},
		{what: "leader deleted", run: b.deleteLeader},
		{
			what: "certificate rotated",
			args: []string{fmt.Sprintf("--cert-validity=%s", validity), fmt.Sprintf("--cert-overlap=%s", overlap)},
			run:  func(ctx context.Context) error { return b.AwaitRotation(ctx, rotationMax) },
		},
		{what: "certificate deleted", mayMiss: true, run: func(ctx context.Context) error { return errors.Join(b.DeleteCertificate(ctx), b.awaitInjected(ctx)) }},
		{what: "leader killed", mayMiss: true, run: b.killLeader},
	}
}

// deleteLeader deletes the leader's pod as anybody may.
func (b *bench) deleteLeader(ctx context.Context) error {
	leader, err := b.Leader(ctx)
	if err != nil {
		return err
	}
	return errors.Join(b.Client.Delete(ctx, &leader), b.AwaitRollout(ctx))
}

// killLeader kills the leader's process, and waits until another leads: the
// lease has to expire.
func (b *bench) killLeader(ctx context.Context) error {
	was, err := b.Holder(ctx)
	if err != nil {
		return err
	}
	leader, err := b.Leader(ctx)
	if err != nil {
		return err
	}
	if err := b.Kill(ctx, leader); err != nil {
		return err
	}
	return errors.Join(b.AwaitLeader(ctx, was), b.AwaitRollout(ctx))
}

func (b *bench) awaitInjected(ctx context.Context) error {
	return b.ns.AwaitInjection(ctx, creations.Pod(app, app), func(*corev1.Pod) bool { return true })
}
