package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/test/servers"
)

const (
	address = "127.0.0.1:8080"
	// untouched is how long an idle connection is looked at before the signal.
	untouched = 12 * time.Second
	// patience bounds a case, from the signal on.
	patience = 75 * time.Second
	short    = 2 * time.Second
	long     = 35 * time.Second
)

// unpack writes the files of the image's one layer to a folder.
func unpack(archive string) (string, error) {
	root, err := os.MkdirTemp("", "servers-")
	if err != nil {
		return "", err
	}
	f, err := os.Open(archive)
	if err != nil {
		return root, fmt.Errorf("no image (make e2e-deploy assembles it): %w", err)
	}
	defer f.Close()
	if err := os.Chmod(root, 0o755); err != nil {
		return root, err
	}
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if err != nil {
			return root, fmt.Errorf("%s has no layer: %w", archive, err)
		}
		if layer, err := gzip.NewReader(r); header.Size > 1<<20 && err == nil {
			return root, unpackLayer(tar.NewReader(layer), root)
		}
	}
}

func unpackLayer(r *tar.Reader, root string) error {
	for _, dir := range []string{"app", "dev/shm", "proc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(root, header.Name)
		if header.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o755); err != nil {
			return err
		}
	}
}

// inside measures one case in this process's own namespaces.
func inside(ctx context.Context, name, root string) error {
	c, err := caseOf(name)
	if err != nil {
		return err
	}
	s, err := servers.ByName(c.server)
	if err != nil {
		return err
	}
	objects := s.Bare().Objects("", "", 1)
	files := map[string]string{}
	for _, o := range objects {
		if config, ok := o.(*corev1.ConfigMap); ok {
			files = config.Data
		}
	}
	if err := prepare(root, files); err != nil {
		return err
	}
	containers := objects[len(objects)-1].(*appsv1.Deployment).Spec.Template.Spec.Containers
	for _, backend := range containers[1:] {
		if _, err := start(ctx, root, backend, nil); err != nil {
			return err
		}
	}
	server, err := start(ctx, root, containers[0], c.flags)
	if err != nil {
		return err
	}
	f, err := measure(ctx, c, server)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// prepare makes the folders that a container has besides its image.
func prepare(root string, files map[string]string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, dir := range []string{"app", "dev"} {
		if err := syscall.Mount("none", filepath.Join(root, dir), "tmpfs", 0, ""); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(root, "dev/shm"), 0o777); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(root, "dev/shm"), 0o777); err != nil {
		return err
	}
	for _, device := range []string{"/dev/null", "/dev/urandom"} {
		if err := os.WriteFile(filepath.Join(root, device), nil, 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(device, filepath.Join(root, device), "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, "app", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// start starts a container's command as process 1 of a PID namespace.
func start(ctx context.Context, root string, c corev1.Container, flags []string) (*exec.Cmd, error) {
	args := append(append([]string{}, c.Command...), flags...)
	if last := len(c.Command) - 1; len(flags) > 0 { // the application comes last
		args = append(append(append([]string{}, c.Command[:last]...), flags...), c.Command[last])
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	for _, e := range c.Env {
		cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
	}
	return cmd, cmd.Start()
}

func measure(ctx context.Context, c testCase, server *exec.Cmd) (fact, error) {
	f := fact{Name: strings.SplitN(c.name, ", `SIG", 2)[0], Signal: name(c.signal)}
	if err := serves(ctx); err != nil {
		return f, err
	}
	f.KeepAlive = idle(untouched)
	open, err := dial("/work?ms=1")
	if err != nil {
		return f, err
	}
	if _, err := open.read(); err != nil {
		return f, err
	}
	var requests []*conn
	for _, work := range []time.Duration{short, long} {
		c, err := dial(fmt.Sprintf("/work?ms=%d", work.Milliseconds()))
		if err != nil {
			return f, err
		}
		requests = append(requests, c)
	}
	time.Sleep(500 * time.Millisecond) // the requests have arrived
	told := time.Now()
	if err := server.Process.Signal(c.signal); err != nil {
		return f, err
	}
	var all sync.WaitGroup
	ended := make(chan struct{})
	all.Go(func() { f.Idle = open.closed(told, ended) })
	all.Go(func() { f.Refused, f.Hangs = refused(told, ended) })
	all.Go(func() { f.Short = requests[0].answer(told) })
	all.Go(func() { f.Long = requests[1].answer(told) })
	timeout := time.AfterFunc(patience, func() { _ = server.Process.Kill() })
	err = server.Wait()
	f.Ended, f.Code = time.Since(told), code(server, err, timeout.Stop())
	close(ended)
	all.Wait()
	return f, nil
}

func name(s syscall.Signal) string {
	return map[syscall.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGQUIT: "SIGQUIT", syscall.SIGUSR1: "SIGUSR1"}[s]
}

func code(server *exec.Cmd, _ error, byItself bool) string {
	if !byItself {
		return "**not by itself**"
	}
	if status, ok := server.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "by the signal"
	}
	return fmt.Sprintf("exit code %d", server.ProcessState.ExitCode())
}

func serves(ctx context.Context) error {
	for begin := time.Now(); time.Since(begin) < patience && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		c, err := dial("/work?ms=1")
		if err != nil {
			continue
		}
		a := c.answer(begin)
		_ = c.Close()
		if a.Whole {
			return nil
		}
	}
	return errors.New("it does not serve")
}

// conn is a connection with one request on it.
type conn struct {
	net.Conn
	reader *bufio.Reader
}

func dial(path string) (*conn, error) {
	raw, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(raw, "GET %s HTTP/1.1\r\nHost: server\r\n\r\n", path)
	return &conn{raw, bufio.NewReader(raw)}, err
}

// read reads a whole response.
func (c *conn) read() (*http.Response, error) {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response, err
}

func (c *conn) answer(told time.Time) answer {
	response, err := c.read()
	return answer{At: time.Since(told), Whole: err == nil && response.StatusCode < 500, Close: err == nil && response.Close}
}

// closed is when the server closes the idle connection; 0 if only its end does.
func (c *conn) closed(told time.Time, ended <-chan struct{}) time.Duration {
	_, _ = c.Read(make([]byte, 1))
	at := time.Since(told)
	select {
	case <-ended:
		return 0
	case <-time.After(100 * time.Millisecond): // the end of the process is seen a little later
	}
	select {
	case <-ended:
		return 0
	default:
		return at
	}
}

// idle is when a connection is closed on which nothing more comes.
func idle(patience time.Duration) time.Duration {
	c, err := dial("/work?ms=1")
	if err != nil {
		return 0
	}
	defer c.Close()
	if _, err := c.read(); err != nil {
		return 0
	}
	begin := time.Now()
	_ = c.SetReadDeadline(begin.Add(patience))
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return 0
	}
	return max(time.Since(begin), time.Millisecond)
}

// refused is when the first request on a new connection began that got no
// answer, and whether it waited in vain for one; others are refused or reset.
func refused(told time.Time, ended <-chan struct{}) (at time.Duration, hangs bool) {
	for {
		at = time.Since(told)
		c, err := dial("/healthz")
		if err == nil {
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err = c.read()
			_ = c.Close()
		}
		hangs = errors.Is(err, os.ErrDeadlineExceeded)
		select {
		case <-ended:
			return 0, false
		default:
		}
		if err != nil {
			return at, hangs
		}
		time.Sleep(20 * time.Millisecond)
	}
}
