package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// upTimeout bounds the start of a cluster whose binaries are there.
const upTimeout = 3 * time.Minute

// Up brings the cluster up and leaves it running. One that is up is left alone;
// the remains of one that was killed are removed first.
func (c *Cluster) Up(ctx context.Context) error {
	line, err := c.up(ctx)
	if err != nil || line == nil {
		return err
	}
	defer line.Close()
	if _, err := line.Write([]byte{keepAlive}); err != nil {
		return fmt.Errorf("leave the cluster running: %w", err)
	}
	return nil
}

// up returns the lifeline of the cluster that it started: when that is closed, or
// this process dies, the cluster goes. It is nil when one was up.
func (c *Cluster) up(ctx context.Context) (lifeline *os.File, err error) {
	if err := canRun(); err != nil {
		return nil, err
	}
	bin, err := c.Build(ctx)
	if err != nil {
		return nil, err
	}
	unlock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	p := newProgress(c.Log)
	old, err := c.readState()
	if err != nil {
		p.step("%v: starting anew", err)
		old = &state{}
	}
	isUp, err := c.awaitHealthy(ctx, p, old)
	if err != nil {
		return nil, err
	}
	if isUp {
		p.step("the cluster is up: export KUBECONFIG=%s", c.Kubeconfig())
		return nil, nil
	}
	if err := c.removeRemains(old); err != nil {
		return nil, err
	}
	if err := installPackages(ctx, p); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	return c.start(ctx, p, bin, old.Port)
}

func canRun() error {
	if runtime.GOOS != "linux" {
		return errors.New("the node needs Linux: use CLUSTER=existing with a KUBECONFIG elsewhere")
	}
	if os.Geteuid() != 0 {
		return errors.New("the node needs root, for namespaces, mounts and cgroups: " +
			"run this with sudo, or use CLUSTER=existing with a KUBECONFIG")
	}
	return nil
}

// awaitHealthy gives a cluster that is up some time to answer. It is never
// replaced: on a busy machine a component can be slow, and a test can have
// stopped one on purpose. Only one whose supervisor has ended, perhaps meanwhile,
// counts as not up.
func (c *Cluster) awaitHealthy(ctx context.Context, p *progress, s *state) (isUp bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for said := false; s.Ready && s.alive(); said = true {
		trouble := c.trouble(ctx)
		if trouble == nil {
			return true, nil
		}
		if !said {
			p.step("waiting for the cluster that is up: %v", trouble)
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("the cluster is up, but %w; to start anew, take it down first", trouble)
		case <-time.After(500 * time.Millisecond):
		}
	}
	return false, nil
}

// trouble names the first component that does not answer.
func (c *Cluster) trouble(ctx context.Context) error {
	all, err := c.Components(ctx)
	if err != nil {
		return err
	}
	for _, status := range all {
		if status.State != "ready" {
			return fmt.Errorf("%s is %s: %s", status.Name, status.State, status.Reason)
		}
	}
	return nil
}

func (c *Cluster) start(ctx context.Context, p *progress, bin string, port int) (lifeline *os.File, err error) {
	listener, port, err := listen(ctx, port)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	s := &spec{Dir: c.Dir, Repo: c.Repo, Bin: bin, Port: port, CgroupRoot: c.cgroupRoot()}
	if err := c.writeFiles(s); err != nil {
		return nil, err
	}
	if err := makeCgroups(s.CgroupRoot); err != nil {
		return nil, err
	}
	p.step("starting the node in %s…", c.Dir)
	lifeline, st, err := c.startSupervisor(ctx, s, listener)
	if err != nil {
		return nil, errors.Join(err, c.removeRemains(&state{}))
	}
	if err := c.awaitReady(ctx, p, st); err != nil {
		fmt.Fprintln(c.Log, c.explain(ctx))
		lifeline.Close()
		return nil, errors.Join(err, c.saveLogs(), c.removeRemains(st))
	}
	st.Ready = true
	p.step("the cluster is ready: export KUBECONFIG=%s", c.Kubeconfig())
	return lifeline, c.writeState(st)
}

// listen takes the port that the cluster had before, if it is still free.
func listen(ctx context.Context, port int) (*os.File, int, error) {
	config := &net.ListenConfig{}
	l, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		l, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("listen for the API: %w", err)
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, 0, fmt.Errorf("listen for the API: unexpected %T", l)
	}
	file, err := tcp.File()
	if err != nil {
		return nil, 0, err
	}
	address, err := netip.ParseAddrPort(tcp.Addr().String())
	return file, int(address.Port()), err
}

func (c *Cluster) writeFiles(s *spec) error {
	if err := writePKI(c.path("pki")); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", apiServerPort)
	for _, user := range []string{"kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler"} {
		if err := writeKubeconfig(s.kubeconfig(user), c.path("pki"), server, user); err != nil {
			return err
		}
	}
	server = fmt.Sprintf("https://127.0.0.1:%d", s.Port)
	if err := writeKubeconfig(c.Kubeconfig(), c.path("pki"), server, "admin"); err != nil {
		return err
	}
	if err := writeConfigs(s); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Logs(), 0o755); err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(c.path("spec.json"), data, 0o600)
}

// startSupervisor starts this program again as process 1 of new namespaces.
func (c *Cluster) startSupervisor(ctx context.Context, s *spec, listener *os.File) (lifeline *os.File, st *state, err error) {
	lock, err := c.supervisorLock()
	if err != nil {
		return nil, nil, err
	}
	defer lock.Close()
	if err := flock(lock, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, nil, fmt.Errorf("another supervisor runs in %s: %w", c.Dir, err)
	}
	log, err := os.Create(c.path("logs", "supervisor.log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer read.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe", SuperviseCommand, c.path("spec.json"))
	cmd.Dir = "/"
	cmd.Env = nodeEnv(s)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{listener, read, lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		write.Close()
		return nil, nil, fmt.Errorf("start the node: %w", err)
	}
	go func() { _ = cmd.Wait() }() // no zombie, for as long as this process lives
	st, err = c.recordSupervisor(cmd.Process.Pid, s)
	if err != nil {
		write.Close()
	}
	return write, st, err
}

func (c *Cluster) recordSupervisor(pid int, s *spec) (*state, error) {
	startTime, _, err := procStat(pid)
	if err != nil {
		return nil, fmt.Errorf("the supervisor ended at once: %w\n%s", err, c.logTail("supervisor"))
	}
	st := &state{PID: pid, StartTime: startTime, BootID: bootID(), Port: s.Port}
	return st, c.writeState(st)
}

// logTail is the end of a component's log, for people.
func (c *Cluster) logTail(name string) string {
	path := filepath.Join(c.Logs(), name+".log")
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("--- end of %s\n%s", path, tail(data, 25))
}
