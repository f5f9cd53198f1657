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

// busyMachine is what a kubelet on a machine with too much to do adds to a
// duration. Where a test says "at most", what it tells apart differs by more;
// make bench measures.
const busyMachine = 6 * time.Second

func TestJourneys(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "journeys on a real cluster")
}

var _ = SynchronizedBeforeSuite(func(ctx SpecContext) {
	connect()
	env.RemoveLeftovers(ctx)
	env.AwaitOperator(ctx)
}, connect, NodeTimeout(5*time.Minute))

func connect() {
	var err error
	env, err = framework.Connect()
	Expect(err).NotTo(HaveOccurred())
}
