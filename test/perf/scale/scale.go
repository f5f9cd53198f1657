// Package scale measures what the operator takes with 1,000 policies: how long
// it needs to start, its memory, its CPU time and its API requests at rest, with
// 1,000 pods and with 10,000.
//
// The operator is the real binary, on a real API server. The nodes are fake:
// kwok says that they are there, and that their pods run. Pods are created
// through the webhook.
package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/audit"
	"github.com/drain-operator/drain-operator/test/perf/binary"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

const (
	// Group is the name of this benchmark.
	Group = "scale"

	policies = 1000
	nodes    = 50
	// maxMiB bounds the resident set, the binary's own pages included.
	maxMiB = 200
)

// sizes are how many pods there are, one after the other.
var sizes = []int{1_000, 10_000}

// Measure measures on an API server that it starts (KUBEBUILDER_ASSETS).
func Measure(ctx context.Context, say func(string, ...any)) (_ []perf.Figure, err error) {
	dir, err := os.MkdirTemp("", "bench-scale-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{say: say, audit: filepath.Join(dir, "audit.log"), workloads: fleet.Workloads(policies)}
	logf.SetLogger(zap.New(zap.WriteTo(io.Discard))) // of the informers
	say("starting an API server")
	follow, err := audit.To(dir, b.audit)
	if err != nil {
		return nil, err
	}
	if b.env, err = framework.Start(ctx, follow); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.env.Stop()) }()
	if b.client, err = fleet.Client(b.env.Config); err != nil {
		return nil, err
	}
	if err := b.run(ctx, dir); err != nil {
		return nil, err
	}
	return b.figures, nil
}

// bench is one run.
type bench struct {
	say       func(string, ...any)
	env       *framework.Environment
	client    client.Client
	workloads []fleet.Workload
	// audit is the file with the operator's requests.
	audit   string
	program *binary.Program
	// address of the webhook, the same for all replicas, as that of a Service is.
	address string
	process *binary.Process
	figures []perf.Figure
	// pods that each workload has.
	pods int
}

// run goes through all sizes.
func (b *bench) run(ctx context.Context, dir string) (err error) {
	b.say("building kwok, and %d nodes", nodes)
	if err := fleet.CreateNodes(ctx, b.client, nodes); err != nil {
		return err
	}
	fake, err := startKwok(ctx, b.env, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fake.stop()) }()
	if err := fake.awaitNodes(ctx, b.client); err != nil {
		return err
	}
	b.say("building the operator, and starting it with nothing to look after")
	if b.program, err = binary.Build(ctx, b.env, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	addresses, err := framework.FreeAddresses(1)
	if err != nil {
		return err
	}
	b.address = addresses[0]
	if err := b.begin(ctx); err != nil {
		return err
	}
	seen := map[int]measured{}
	for _, pods := range sizes {
		if seen[pods], err = b.measure(ctx, pods); err != nil {
			return fmt.Errorf("%d pods: %w\n%s%s", pods, err, b.tail(), fake.tail())
		}
	}
	b.growth(seen[sizes[0]], seen[sizes[1]])
	return nil
}

// begin starts the operator on a cluster with neither policies nor pods, and
// makes the policies.
func (b *bench) begin(ctx context.Context) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	empty, err := b.process.Use()
	if err != nil {
		return err
	}
	b.tell(perf.Figure{What: "resident set with neither policies nor pods", Value: empty.Resident, Unit: "MiB", Samples: 1})
	b.say("creating %d policies", policies)
	if err := fleet.CreateNamespaces(ctx, b.client, policies); err != nil {
		return err
	}
	return fleet.Each(ctx, b.workloads, func(ctx context.Context, w fleet.Workload) error { return b.client.Create(ctx, w.Policy()) })
}

// measure brings the pods to a number, and measures starts and rest with them.
func (b *bench) measure(ctx context.Context, pods int) (measured, error) {
	m := measured{pods: pods}
	for _, phase := range []func(context.Context, *measured) error{b.grow, b.cold, b.warm, b.rest} {
		if err := phase(ctx, &m); err != nil {
			return m, err
		}
	}
	b.tell(m.figures()...)
	b.unexpected(m)
	return m, nil
}

func (b *bench) tell(figures ...perf.Figure) {
	for _, f := range figures {
		f.Group = Group
		b.say("%s: %s", f.What, f.Amount(f.Value))
		b.figures = append(b.figures, f)
	}
}

func (b *bench) start(ctx context.Context) error {
	_, port, err := net.SplitHostPort(b.address)
	if err != nil {
		return err
	}
	b.process, err = b.program.Start(ctx, "--webhook-port="+port, "--webhook-url=https://"+b.address)
	return err
}

func (b *bench) stop() error {
	if b.process == nil {
		return nil
	}
	stopping := b.process
	b.process = nil
	return stopping.Stop()
}

func (b *bench) tail() []byte {
	if b.process == nil {
		return nil
	}
	return b.process.Tail()
}
