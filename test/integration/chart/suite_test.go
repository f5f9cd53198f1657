// Package chart installs the Helm chart into a real API server, and runs the
// operator with the rights that it gives.
package chart

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/tool"
)

const (
	release   = "drain-operator"
	namespace = framework.OperatorNamespace
)

var (
	env        *framework.Environment
	binary     string // of the operator
	helmPath   string
	kubeconfig string
	chart      = framework.File("charts/drain-operator")
)

func TestChart(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Chart")
}

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	folder := GinkgoT().TempDir()
	binary, err = framework.Binary(ctx, folder)
	Expect(err).NotTo(HaveOccurred())
	helmPath, err = tool.Path(ctx, "helm")
	Expect(err).NotTo(HaveOccurred())
	env, err = framework.StartBare()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(env.Stop()).To(Succeed()) })
	kubeconfig = filepath.Join(folder, "kubeconfig")
	Expect(os.WriteFile(kubeconfig, env.Kubeconfig(), 0o600)).To(Succeed())
	Expect(env.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}})).To(Succeed())
})

// helm runs helm in the operator's namespace and returns what it prints.
func helm(ctx context.Context, args ...string) string {
	GinkgoHelper()
	output, err := tryHelm(ctx, args...)
	Expect(err).NotTo(HaveOccurred(), output)
	return output
}

func tryHelm(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, helmPath, append(args, "--namespace", namespace)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	return string(output) + stderr.String(), err
}

// values are arguments that name a file of values of the chart.
func values(name string) string {
	return "--values=" + filepath.Join(chart, "ci", name+"-values.yaml")
}
