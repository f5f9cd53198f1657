package framework

import (
	"bytes"
	"context"
	"os"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Kubectl runs kubectl on the cluster under test and returns its output.
func (e *Env) Kubectl(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, "kubectl", args...))
}

// OnNode runs a program on the node of the harness's cluster. Specs that use it
// carry the label "node": they cannot run on an existing cluster.
func OnNode(ctx context.Context, args ...string) string {
	GinkgoHelper()
	harness := os.Getenv("CLUSTER_COMMAND")
	Expect(harness).NotTo(BeEmpty(), "CLUSTER_COMMAND must name the harness")
	text, err := output(exec.CommandContext(ctx, harness, append([]string{"exec", "--"}, args...)...))
	Expect(err).NotTo(HaveOccurred(), text)
	return text
}

func output(cmd *exec.Cmd) (string, error) {
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	return both.String(), err
}
