// Package e2e holds the journeys on a real cluster: what a person does with the
// operator, and what their clients see of it. docs/testing.md tells how to run
// them.
package e2e

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// env is the cluster under test, one connection per ginkgo process.
var env *framework.Env

// Bounds of a spec; none comes near unless something is stuck.
const (
	usual = SpecTimeout(3 * time.Minute)
	slow  = SpecTimeout(6 * time.Minute)
)

// alone marks specs that change the operator or the node: no other may run on
// the cluster meanwhile. The label is for choosing them.
var alone = []any{Serial, Label("alone")}

// busyMachine is what a kubelet on a machine with too much to do adds to a
// duration. Where a test says "at most", what it tells apart differs by more;
// make bench measures.
const busyMachine = 6 * time.Second

func TestJourneys(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "journeys on a real cluster")
}

// Names of the operator's sources of latency. Nobody stops the first one.
const (
	steadySource  = "default"
	stoppedSource = "stopped"
)

// monitoring is the namespace of the suite's Prometheus servers.
var monitoring string

var _ = SynchronizedBeforeSuite(func(ctx SpecContext) []byte {
	connect()
	env.RemoveLeftovers(ctx)
	env.AwaitOperator(ctx)
	namespace, sources := env.RunPrometheus(ctx, steadySource, stoppedSource)
	env.LatencySources(ctx, sources, "--latency-period=3s")
	return []byte(namespace)
}, func(namespace []byte) {
	connect()
	monitoring = string(namespace)
}, NodeTimeout(5*time.Minute))

// What the first process set up goes when all others have finished.
var _ = SynchronizedAfterSuite(func() {}, func() {})

func connect() {
	var err error
	env, err = framework.Connect()
	Expect(err).NotTo(HaveOccurred())
}
