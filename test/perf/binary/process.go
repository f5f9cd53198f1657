package binary

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

const (
	glance       = 20 * time.Millisecond
	readyTimeout = 2 * time.Minute
)

// Process is a replica of the operator, the only one there is.
type Process struct {
	*framework.Operator
	// Started is when the process was started, ReadyAfter how long it then took
	// until it was ready.
	Started    time.Time
	ReadyAfter time.Duration

	token string
	log   *os.File
}

// Start starts the operator, and waits until it is ready. Its log continues
// that of the one before.
func (p *Program) Start(ctx context.Context, flags ...string) (*Process, error) {
	log, err := os.OpenFile(filepath.Join(p.dir, "operator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	o := &Process{token: p.token, log: log, Started: time.Now()}
	if o.Operator, err = p.env.Run(ctx, p.binary, p.dir, log, flags...); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := o.await(ctx, o.Ready); err != nil {
		return nil, err
	}
	o.ReadyAfter = time.Since(o.Started)
	// It is ready without its metrics, which are read from here on.
	if err := o.await(ctx, func() error { _, err := o.Page(); return err }); err != nil {
		return nil, err
	}
	return o, nil
}

// await waits until there is no error, or stops the process.
func (o *Process) await(ctx context.Context, wrong func() error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, glance, readyTimeout, true, func(context.Context) (bool, error) {
		last = wrong()
		return last == nil, o.Alive()
	})
	if err != nil {
		return errors.Join(fmt.Errorf("starting the operator: %w: %w\n%s", err, last, o.Tail()), o.Stop())
	}
	return nil
}

// Stop ends it.
func (o *Process) Stop() error { return errors.Join(o.Operator.Stop(), o.log.Close()) }

// Alive returns an error once the process has ended.
func (o *Process) Alive() error {
	if ended, code := o.Ended(); ended {
		return fmt.Errorf("the operator ended with %d\n%s", code, o.Tail())
	}
	return nil
}

// Tail is the end of what the operator printed.
func (o *Process) Tail() []byte {
	text, _ := os.ReadFile(o.log.Name()) // the error is told with or without it
	return text[max(0, len(text)-4096):]
}
