package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/drain-operator/drain-operator/test/balancer/follow"
)

// Programs, where Debian puts them.
const (
	haproxyProgram = "/usr/sbin/haproxy"
	nginxProgram   = "/usr/sbin/nginx"
)

// proxy is a reverse proxy that runs.
type proxy interface {
	// apply leads it to these targets. Where it is unfinished, it is to be
	// called again in a moment.
	apply(serving []follow.Target) (unfinished bool, err error)
	// wait until its process ends.
	wait() error
}

// start runs the proxy without targets.
func start(ctx context.Context, o options) (proxy, error) {
	switch o.proxy {
	case "haproxy":
		h := &haproxy{socket: o.file("haproxy.sock"), have: map[follow.Target]follow.Phase{}}
		if o.checks {
			h.options = follow.Checks
		}
		config := o.file("haproxy.cfg")
		if err := os.WriteFile(config, []byte(follow.HAProxyConfig(o.listen, h.socket)), 0o600); err != nil {
			return nil, err
		}
		var err error
		h.process, err = begin(ctx, haproxyProgram, "-db", "-f", config)
		return h, err
	case "nginx":
		n := &nginx{o: o, config: o.file("nginx.conf")}
		if err := n.write(nil); err != nil {
			return nil, err
		}
		var err error
		n.process, err = begin(ctx, nginxProgram, "-e", "stderr", "-p", o.dir, "-c", n.config)
		return n, err
	}
	return nil, fmt.Errorf("-proxy %q is neither haproxy nor nginx", o.proxy)
}

type process struct{ cmd *exec.Cmd }

func begin(ctx context.Context, program string, args ...string) (process, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return process{cmd}, cmd.Start()
}

func (p process) wait() error {
	return errors.Join(fmt.Errorf("%s has ended", p.cmd.Path), p.cmd.Wait())
}

// say tells people what gets requests from now on.
func say(serving []follow.Target) {
	fmt.Printf("%s serving %v\n", time.Now().UTC().Format("15:04:05.000"), serving)
}

// haproxy is led through its runtime API.
type haproxy struct {
	process
	socket, options string
	have            map[follow.Target]follow.Phase
	serving         []follow.Target
}

func (h *haproxy) apply(serving []follow.Target) (unfinished bool, err error) {
	stat, err := h.tell("show stat")
	if err != nil {
		return true, err
	}
	sessions, err := follow.Sessions(stat)
	if err != nil {
		return true, err
	}
	for _, step := range follow.Steps(h.have, serving, sessions, h.options) {
		err = errors.Join(err, h.do(step))
	}
	if err == nil && !slices.Equal(h.serving, serving) {
		h.serving = serving
		say(serving)
	}
	for _, phase := range h.have {
		unfinished = unfinished || phase != follow.Serving
	}
	return unfinished, err
}

func (h *haproxy) do(step follow.Step) error {
	for _, command := range step.Commands {
		answer, err := h.tell(command)
		if err != nil {
			return err
		}
		if step.Then == follow.Absent && !follow.Succeeded(answer) {
			return nil // the pod's end closes the last idle connections to it
		}
		if !follow.Succeeded(answer) {
			return fmt.Errorf("%s: %s", command, strings.TrimSpace(answer))
		}
	}
	h.have[step.Target] = step.Then
	if step.Then == follow.Absent {
		delete(h.have, step.Target)
	}
	return nil
}

// tell sends one command and returns the answer.
func (h *haproxy) tell(command string) (string, error) {
	conn, err := net.DialTimeout("unix", h.socket, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // the answer has come, or has not
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	return string(answer), nil
}

// nginx is reloaded: its old workers finish the requests that they have.
type nginx struct {
	process
	o       options
	config  string
	serving []follow.Target
}

func (n *nginx) apply(serving []follow.Target) (unfinished bool, err error) {
	if slices.Equal(n.serving, serving) {
		return false, nil
	}
	if _, err := os.Stat(n.o.file("nginx.pid")); err != nil {
		return true, nil //nolint:nilerr // it does not listen to signals yet
	}
	if err := n.write(serving); err != nil {
		return true, err
	}
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return true, fmt.Errorf("reloading nginx: %w", err)
	}
	n.serving = serving
	say(serving)
	return false, nil
}

func (n *nginx) write(serving []follow.Target) error {
	tmp := n.config + ".tmp"
	if err := os.WriteFile(tmp, []byte(follow.NginxConfig(n.o.listen, n.o.dir, serving)), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, n.config)
}
