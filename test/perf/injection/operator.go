package injection

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
	readyTimeout = time.Minute
	glance       = 100 * time.Millisecond
)

// startOperator builds and starts the operator, as a process of its own. There
// are no nodes from which it could tell the delivery.
func startOperator(ctx context.Context, env *framework.Environment, dir string, say func(string, ...any)) (stop func() error, err error) {
	say("building and starting the operator")
	binary, err := framework.Binary(ctx, dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "operator.log")
	log, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	operator, err := env.Run(ctx, binary, dir, log, "--agent-delivery=ImageVolume")
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	stop = func() error { return errors.Join(operator.Stop(), log.Close()) }
	var last error
	err = wait.PollUntilContextTimeout(ctx, glance, readyTimeout, true, func(context.Context) (bool, error) {
		last = operator.Ready()
		if ended, code := operator.Ended(); ended {
			return false, fmt.Errorf("the operator ended with %d", code)
		}
		return last == nil, nil
	})
	if err != nil {
		text, _ := os.ReadFile(path) // the error is told with or without it
		return nil, errors.Join(fmt.Errorf("starting the operator: %w: %w\n%s", err, last, text), stop())
	}
	return stop, nil
}
