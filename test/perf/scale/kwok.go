package scale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

const (
	kwokModule = "sigs.k8s.io/kwok"
	// kwokStages are the folders of that module that say what becomes of nodes
	// and pods: nodes are ready and say so every ten minutes, pods run at once.
	// Nobody here asks for the nodes' leases.
	kwokStages = "pod/fast node/fast node/heartbeat-with-lease"
	// podNetwork is where kwok gives pods addresses. Nobody answers there, and
	// nobody asks.
	podNetwork   = "10.200.0.0/16"
	nodeAddress  = "192.0.2.1"
	nodesTimeout = time.Minute
)

// kwok is the process that stands for all kubelets.
type kwok struct {
	process *exec.Cmd
	log     string
	ended   chan struct{}
}

// startKwok builds kwok as hack/kubernetes/kwok pins it, and starts it.
func startKwok(ctx context.Context, env *framework.Environment, dir string) (*kwok, error) {
	binary := filepath.Join(dir, "kwok")
	if _, err := inKwokModule(ctx, "build", "-o", binary, kwokModule+"/cmd/kwok"); err != nil {
		return nil, err
	}
	stages, err := stageFiles(ctx)
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kwok.kubeconfig")
	if err := os.WriteFile(kubeconfig, env.Kubeconfig(), 0o600); err != nil {
		return nil, err
	}
	k := &kwok{log: filepath.Join(dir, "kwok.log"), ended: make(chan struct{})}
	log, err := os.Create(k.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own
	k.process = exec.Command(binary, "--kubeconfig="+kubeconfig, "--config="+strings.Join(stages, ","),
		"--v=WARN", "--manage-all-nodes", "--cidr="+podNetwork, "--node-ip="+nodeAddress)
	k.process.Stdout, k.process.Stderr = log, log
	if err := k.process.Start(); err != nil {
		return nil, fmt.Errorf("starting kwok: %w", err)
	}
	go func() {
		defer close(k.ended)
		_ = k.process.Wait() // the log tells
	}()
	return k, nil
}

// stageFiles are those that come with kwok.
func stageFiles(ctx context.Context) ([]string, error) {
	module, err := inKwokModule(ctx, "list", "-m", "-f", "{{.Dir}}", kwokModule)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, folder := range strings.Fields(kwokStages) {
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(module), "kustomize", "stage", folder, "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			if filepath.Base(file) != "kustomization.yaml" {
				files = append(files, file)
			}
		}
	}
	if len(files) == 0 {
		return nil, errors.New("kwok has no stages where they are looked for")
	}
	return files, nil
}

func inKwokModule(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = framework.File("hack/kubernetes/kwok")
	// A workspace or flags meant for our own module must not change this one.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kwok: go %s: %w\n%s", args[0], err, failed.Bytes())
	}
	return out.String(), nil
}

// awaitNodes waits until kwok has made all nodes ready.
func (k *kwok) awaitNodes(ctx context.Context, c client.Client) error {
	err := wait.PollUntilContextTimeout(ctx, time.Second/4, nodesTimeout, true, func(ctx context.Context) (bool, error) {
		var list corev1.NodeList
		if err := errors.Join(k.alive(), c.List(ctx, &list)); err != nil {
			return false, err
		}
		ready := 0
		for i := range list.Items {
			for _, condition := range list.Items[i].Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		return ready == nodes, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for kwok's nodes: %w\n%s", err, k.tail())
	}
	return nil
}

func (k *kwok) alive() error {
	select {
	case <-k.ended:
		return errors.New("kwok has ended")
	default:
		return nil
	}
}

func (k *kwok) stop() error {
	if err := k.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-k.ended:
		return nil
	case <-time.After(nodesTimeout):
		return errors.Join(errors.New("kwok does not end"), k.process.Process.Kill())
	}
}

// tail is the end of what kwok printed.
func (k *kwok) tail() []byte {
	text, _ := os.ReadFile(k.log) // the error is told with or without it
	return text[max(0, len(text)-2048):]
}
