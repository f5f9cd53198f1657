package absence

import (
	"context"
	"errors"
	"time"
)

// state of the operator that is measured.
type state struct {
	what string
	// absent: the webhook answers no pod of this state.
	absent bool
	// begin brings it about. end puts everything back; it is nil when nothing was
	// changed.
	begin func(context.Context) (end func(context.Context) error, err error)
}

// blackHoleMax is when a black hole ends by itself, should nobody end it.
const blackHoleMax = window + 20*time.Second

func (b *bench) states() []state {
	return []state{
		{"the operator there", false, func(context.Context) (func(context.Context) error, error) { return nil, nil }},
		{"all replicas killed", true, b.kill},
		{"black-holed", true, b.blackHole},
		{"certificate expired", true, b.expire},
	}
}

// kill ends the processes of all replicas at once, and has no others started.
func (b *bench) kill(ctx context.Context) (end func(context.Context) error, err error) {
	pods, err := b.Pods(ctx)
	if err != nil {
		return nil, err
	}
	before, err := b.Scale(ctx, 0)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := b.Scale(ctx, before)
		return errors.Join(err, b.AwaitRollout(ctx))
	}, b.Kill(ctx, pods...)
}

// blackHole leaves replicas and endpoints as they are, and has no call of the
// webhook reach them: nobody refuses, nobody answers.
func (b *bench) blackHole(ctx context.Context) (end func(context.Context) error, err error) {
	pods, err := b.Pods(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return b.EndBlackHole(ctx, pods...) }, b.BlackHole(ctx, blackHoleMax, pods...)
}

// expire has the replicas serve a certificate that has expired.
func (b *bench) expire(ctx context.Context) (end func(context.Context) error, err error) {
	return b.DeleteCertificate, b.ExpireCertificate(ctx)
}
