//go:build cluster

package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drain-operator/drain-operator/hack/image"
)

// TestNode goes through what tests of the operator rely on, in one cluster, and
// at the end kills it with pods running.
func TestNode(t *testing.T) {
	h := newHarness(t)
	before := observe(t)
	h.must(t, "up")
	h.deployWeb(t)
	pod := h.kubectl(t, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
	podIP := h.kubectl(t, "get", "pod", pod, "-o", "jsonpath={.status.podIP}")
	serviceIP := h.kubectl(t, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")

	h.awaitService(t, "http://"+serviceIP)

	ways := map[string][]string{
		"service, from a pod, by image volume": {"kubectl", "exec", pod, "--", "/image/web", "get", "http://" + serviceIP},
		"service, from a pod, by emptyDir":     {"kubectl", "exec", pod, "--", "/copied/web", "get", "http://" + serviceIP},
		"pod, through kube-apiserver":          {"kubectl", "get", "--raw", "/api/v1/namespaces/web/pods/" + pod + ":8080/proxy/"},
		"service, from the node":               {"exec", h.web, "get", "http://" + serviceIP},
		"pod, from the node":                   {"exec", h.web, "get", "http://" + podIP + ":8080"},
	}
	for name, command := range ways {
		t.Run(name, func(t *testing.T) {
			if got := h.inCluster(t, command...); got != "hello" {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("logs", func(t *testing.T) {
		if got := h.kubectl(t, "logs", pod); got != "serving" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("exit codes", func(t *testing.T) {
		for _, command := range []string{"run", "exec"} {
			err := h.command(command, "--", "sh", "-c", "exit 7").Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("cluster %s: %v, want exit code 7", command, err)
			}
		}
	})
	t.Run("up again changes nothing", func(t *testing.T) {
		first := h.supervisor(t)
		h.must(t, "up")
		if second := h.supervisor(t); second != first {
			t.Errorf("process %d was replaced by %d", first, second)
		}
	})
	t.Run("port-forward", func(t *testing.T) { h.testPortForward(t, pod) })
	t.Run("rolling restart", func(t *testing.T) { h.restartWeb(t) })
	t.Run("components", func(t *testing.T) {
		h.must(t, "component", "stop", "kube-controller-manager")
		if status := h.output(t, "status"); !regexp.MustCompile(`kube-controller-manager +stopped`).MatchString(status) {
			t.Errorf("not stopped:\n%s", status)
		}
		h.must(t, "component", "start", "kube-controller-manager")
		for _, name := range []string{"kube-apiserver", "etcd", "kubelet", "containerd", "kube-proxy"} {
			h.must(t, "component", "restart", name)
		}
		h.restartWeb(t)
	})

	if len(h.cgroups(t)) == 0 {
		t.Error("no cgroups of this cluster: the check for those left would see nothing")
	}
	node := h.pidNamespace(t)
	if err := syscall.Kill(h.supervisor(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "processes", func() []string { return processesIn([]string{node}, h.dir) })
	h.must(t, "down")
	h.assertNothingLeft(t, before, node)
}

// deployWeb loads the test image and starts pods of it, as restricted as can be.
func (h *harness) deployWeb(t *testing.T) {
	t.Helper()
	spec := image.Spec{
		Name:       "web",
		Binaries:   []image.Binary{{Package: "./testdata/web", Path: "/web"}},
		Entrypoint: []string{"/web"},
	}
	index, err := image.Build(t.Context(), ".", spec, []string{"linux/" + runtime.GOARCH})
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "web.tar")
	ref, err := image.WriteArchive(archive, "drain-operator.test/web:1", index)
	if err != nil {
		t.Fatal(err)
	}
	h.must(t, "load", archive)
	h.web = filepath.Join(filepath.Dir(h.program), "web")
	if out, err := exec.Command("go", "build", "-o", h.web, "./testdata/web").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	manifest := template.Must(template.ParseFiles("testdata/web.yaml"))
	var text bytes.Buffer
	names := map[string]string{"ByTag": ref.Name, "ByDigest": "drain-operator.test/web@" + ref.Digest}
	if err := manifest.Execute(&text, names); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	h.kubectl(t, "apply", "-f", file)
	h.awaitWeb(t)
}

func (h *harness) restartWeb(t *testing.T) {
	t.Helper()
	h.kubectl(t, "rollout", "restart", "deployment/web")
	h.awaitWeb(t)
}

func (h *harness) awaitWeb(t *testing.T) {
	t.Helper()
	h.kubectl(t, "rollout", "status", "deployment/web", "--timeout=60s")
}

func (h *harness) testPortForward(t *testing.T, pod string) {
	cmd := h.command("run", "--", "kubectl", "-n", "web", "port-forward", pod, ":8080")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if address == "" {
		t.Fatalf("no address in %q (%v)", line, err)
	}
	resp, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "hello\n" {
		t.Errorf("got %q (%v)", body, err)
	}
}

// inCluster runs "kubectl args…" on the host or "exec args…" on the node.
// awaitService waits until the node knows a new Service: kube-proxy takes in
// changes at most once a second.
func (h *harness) awaitService(t *testing.T, url string) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = h.command("exec", "--", h.web, "get", url).Run()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("the Service does not answer: %v: %v", err, last)
	}
}

func (h *harness) inCluster(t *testing.T, args ...string) string {
	t.Helper()
	if args[0] == "kubectl" {
		return h.kubectl(t, args[1:]...)
	}
	return h.output(t, args[0], append([]string{"--"}, args[1:]...)...)
}

func (h *harness) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return h.output(t, "run", append([]string{"--", "kubectl", "-n", "web"}, args...)...)
}

func (h *harness) output(t *testing.T, command string, args ...string) string {
	t.Helper()
	cmd := h.command(append([]string{command}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cluster %s %v: %v\n%s%s", command, args, err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}
