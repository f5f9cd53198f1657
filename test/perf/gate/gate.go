// Package gate measures what the hold Deletion costs: how long the webhook
// takes to answer, against one that answers "allowed" at once; how soon pods go
// once they have drained, with 200 held at once; and what is written for each.
//
// The operator is the real binary, on a real API server. All of it runs in a
// network namespace whose pod addresses are all answered by the bench, which
// also does the part of the kubelet.
package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/audit"
	"github.com/drain-operator/drain-operator/test/perf/binary"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
	"github.com/drain-operator/drain-operator/test/perf/network"
)

const (
	// Group is the name of this benchmark.
	Group = "gate"
	// Subcommand is how this program is started anew in the network namespace.
	Subcommand = "gate-in-namespace"

	glance  = 50 * time.Millisecond
	patient = 2 * time.Minute
)

// podNetwork is where pods have their addresses.
var podNetwork = netip.MustParsePrefix("10.201.0.0/16")

// Measure measures on an API server that it starts (KUBEBUILDER_ASSETS), in a
// process with a network namespace of its own, which needs CAP_SYS_ADMIN.
func Measure(ctx context.Context) ([]perf.Figure, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/exe", Subcommand)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends what it has started
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	var figures []perf.Figure
	return figures, json.Unmarshal(out.Bytes(), &figures)
}

// bench is one run.
type bench struct {
	say     func(string, ...any)
	env     *framework.Environment
	client  client.WithWatch
	kubelet *kubelet
	// audit is the file with the operator's requests.
	audit   string
	figures []perf.Figure
}

// MeasureHere measures in the network namespace of this process, which is its
// own, and writes the figures as JSON.
func MeasureHere(ctx context.Context, out *os.File, say func(string, ...any)) (err error) {
	dir, err := os.MkdirTemp("", "bench-gate-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := errors.Join(network.LoopbackUp(), network.Claim(podNetwork)); err != nil {
		return err
	}
	b := &bench{say: say, audit: filepath.Join(dir, "audit.log")}
	followed, err := audit.To(dir, b.audit)
	if err != nil {
		return err
	}
	say("starting an API server")
	if b.env, err = framework.Start(ctx, followed, framework.Advertise(podNetwork.Addr().Next().String())); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.env.Stop()) }()
	if b.client, err = fleet.Client(b.env.Config); err != nil {
		return err
	}
	if err := b.run(ctx, dir); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(b.figures)
}

func (b *bench) run(ctx context.Context, dir string) (err error) {
	if err := fleet.CreateNodes(ctx, b.client, 1); err != nil {
		return err
	}
	if b.kubelet, err = startKubelet(ctx, b.client); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.kubelet.stop()) }()
	b.say("building and starting the operator")
	program, err := binary.Build(ctx, b.env, dir)
	if err != nil {
		return err
	}
	process, err := program.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, process.Stop()) }()
	for _, part := range []func(context.Context) error{b.answers, b.held} {
		if err := part(ctx); err != nil {
			return errors.Join(err, errors.New(string(process.Tail())))
		}
	}
	return process.Alive()
}

func (b *bench) tell(figures ...perf.Figure) {
	for _, f := range figures {
		f.Group = Group
		b.say("%s: %s", f.What, f.Amount(f.Value))
		b.figures = append(b.figures, f)
	}
}
