package framework

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// OperatorNamespace is where the manifests put the operator.
const OperatorNamespace = "drain-operator-system"

// AgentImage is a reference that nobody pulls.
const AgentImage = "registry.example.com/drain-agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Binary builds the operator and returns the path of its binary in a folder.
func Binary(ctx context.Context, folder string) (string, error) {
	path := filepath.Join(folder, "drain-operator")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	build.Dir = File(".")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the operator: %w\n%s", err, output)
	}
	return path, nil
}

// Operator is a replica of the operator, run as its ServiceAccount.
type Operator struct {
	// WebhookURL is where the API server reaches it.
	WebhookURL string

	health, metrics string
	process         *exec.Cmd
	ended           chan struct{}
}

// Run starts a replica. log gets what it prints; further flags override ours.
func (e *Environment) Run(ctx context.Context, binary, folder string, log io.Writer, flags ...string) (*Operator, error) {
	token, err := e.Token(ctx, OperatorNamespace, "drain-operator")
	if err != nil {
		return nil, err
	}
	kubeconfig, err := e.writeKubeconfig(folder, token)
	if err != nil {
		return nil, err
	}
	addresses, err := FreeAddresses(3)
	if err != nil {
		return nil, err
	}
	o := &Operator{WebhookURL: "https://" + addresses[0], health: addresses[1], metrics: addresses[2], ended: make(chan struct{})}
	_, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return nil, err
	}
	o.process = exec.Command(binary, append([]string{
		"--kubeconfig=" + kubeconfig,
		"--agent-image=" + AgentImage,
		"--namespace=" + OperatorNamespace,
		"--webhook-port=" + port,
		"--webhook-url=" + o.WebhookURL,
		"--health-probe-address=" + o.health,
		"--metrics-address=" + o.metrics,
	}, flags...)...)
	o.process.Stdout, o.process.Stderr = log, log
	if err := o.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	go func() {
		defer close(o.ended)
		_ = o.process.Wait() // ProcessState tells
	}()
	return o, nil
}

// Stop asks the replica to end and waits until it has.
func (o *Operator) Stop() error {
	return o.end(syscall.SIGTERM)
}

// Kill ends the replica without asking.
func (o *Operator) Kill() error {
	return o.end(syscall.SIGKILL)
}

// Pause stops the replica in its tracks, and returns when all of it stands
// still: connections are accepted, nothing is answered.
func (o *Operator) Pause() error {
	if err := o.process.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, o.process.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Resume lets a paused replica go on.
func (o *Operator) Resume() error { return o.process.Process.Signal(syscall.SIGCONT) }

func (o *Operator) end(signal syscall.Signal) error {
	if err := o.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-o.ended:
		return nil
	case <-time.After(45 * time.Second):
		return errors.New("the operator does not end")
	}
}

// Ended reports whether the process has ended, and its exit code.
func (o *Operator) Ended() (bool, int) {
	select {
	case <-o.ended:
		return true, o.process.ProcessState.ExitCode()
	default:
		return false, 0
	}
}

// PID of the process.
func (o *Operator) PID() int { return o.process.Process.Pid }

// Ready returns an error as long as the replica is not ready.
func (o *Operator) Ready() error {
	response, err := http.Get("http://" + o.health + "/readyz?verbose")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("readyz: %s", body)
	}
	return err
}

// Profiles is what the replica answers when it is asked for /debug/pprof at an
// address, or where it answers about its health when that is empty.
func (o *Operator) Profiles(address string) (status int, err error) {
	if address == "" {
		address = o.health
	}
	response, err := http.Get("http://" + address + "/debug/pprof/")
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// Metrics reads a metric as somebody who may: the sum of its samples that
// carry these labels. A histogram counts as its number of observations.
func (o *Operator) Metrics(token, name string, labels map[string]string) (float64, error) {
	status, body, err := o.Scrape(token)
	if err != nil {
		return 0, err
	}
	if status != http.StatusOK {
		return 0, fmt.Errorf("metrics: status %d", status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, metric := range families[name].GetMetric() {
		matched := 0
		for _, pair := range metric.Label {
			if labels[pair.GetName()] == pair.GetValue() {
				matched++
			}
		}
		if matched == len(labels) {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return sum, nil
}

// Scrape reads /metrics with a bearer token; none when it is empty.
func (o *Operator) Scrape(token string) (status int, body string, err error) {
	request, err := http.NewRequest(http.MethodGet, "https://"+o.metrics+"/metrics", nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // self-signed on loopback
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// Token returns a token of a ServiceAccount.
func (e *Environment) Token(ctx context.Context, namespace, name string) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	request := &authenticationv1.TokenRequest{}
	if err := e.Client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("asking for a token of %s/%s: %w", namespace, name, err)
	}
	return request.Status.Token, nil
}

func (e *Environment) writeKubeconfig(folder, token string) (string, error) {
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: e.Config.Host, CertificateAuthorityData: e.Config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}
	path := filepath.Join(folder, "kubeconfig")
	return path, clientcmd.WriteToFile(config, path)
}

// FreeAddresses returns loopback addresses that nobody listens on.
func FreeAddresses(count int) ([]string, error) {
	var addresses []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, listener.Addr().String())
		defer func() { _ = listener.Close() }()
	}
	return addresses, nil
}
