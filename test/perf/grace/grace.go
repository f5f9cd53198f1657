// Package grace measures what it costs to watch the latency of 1,000 policies
// with 10 pods each: the operator's CPU time for each look, its memory, and that
// it writes nothing while nothing changes.
//
// The operator is the real binary, on a real API server. All of it runs in a
// network namespace whose pod addresses are all answered by the bench.
package grace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/binary"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
	"github.com/drain-operator/drain-operator/test/perf/network"
)

const (
	// Group is the name of this benchmark.
	Group = "grace"
	// Subcommand is how this program is started anew in the network namespace.
	Subcommand = "grace-in-namespace"

	glance        = 100 * time.Millisecond
	judgedTimeout = 6 * time.Minute
)

// Measure measures on an API server that it starts (KUBEBUILDER_ASSETS), in a
// process with a network namespace of its own, which needs CAP_SYS_ADMIN.
func Measure(ctx context.Context) ([]perf.Figure, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/exe", Subcommand)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	// It ends what it has started.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	var figures []perf.Figure
	return figures, json.Unmarshal(out.Bytes(), &figures)
}

// MeasureHere measures in the network namespace of this process, which is its
// own, and writes the figures as JSON.
func MeasureHere(ctx context.Context, out *os.File, say func(string, ...any)) (err error) {
	dir, err := os.MkdirTemp("", "bench-grace-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := errors.Join(network.LoopbackUp(), network.Claim(podNetwork)); err != nil {
		return err
	}
	b := &bench{say: say, pages: newPages(), answers: &answers{}}
	stop, err := b.serve(dir)
	if err != nil {
		return err
	}
	defer stop()
	say("starting an API server")
	if b.env, err = framework.Start(ctx, framework.Advertise(podNetwork.Addr().Next().String())); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.env.Stop()) }()
	if err := b.run(ctx, dir); err != nil {
		return err
	}
	if err := b.day(ctx); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(b.figures)
}

// bench is one run.
type bench struct {
	say      func(string, ...any)
	pages    *pages
	answers  *answers
	env      *framework.Environment
	client   client.Client
	operator *binary.Process
	// peak of the operator's memory so far, in MiB.
	peak    func() float64
	figures []perf.Figure
}

// serve serves the pods' pages and the Prometheus, and writes the file by which
// the operator knows the latter.
func (b *bench) serve(dir string) (stop func(), err error) {
	pods, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(fleet.MetricsPort)))
	if err != nil {
		return nil, err
	}
	prometheus, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		listener net.Listener
		handler  http.Handler
	}{{pods, b.pages}, {prometheus, b.answers}} {
		server := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(s.listener) }() // until the listener is closed
	}
	sources := fmt.Sprintf("sources:\n- name: default\n  address: http://%s\n", prometheus.Addr())
	return func() { _, _ = pods.Close(), prometheus.Close() }, os.WriteFile(sourcesFile(dir), []byte(sources), 0o600)
}

func sourcesFile(dir string) string { return filepath.Join(dir, "sources.yaml") }

// restClient reads what is no object.
func restClient(config *rest.Config) (*rest.RESTClient, error) {
	plain := rest.CopyConfig(config)
	plain.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return rest.UnversionedRESTClientFor(plain)
}
