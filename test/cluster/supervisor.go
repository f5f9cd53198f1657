package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What the supervisor inherits besides its standard files.
const (
	listenerFD = 3 // accepts connections on the host's loopback address
	lifelineFD = 4 // ends the node when it closes before a byte came
	lockFD     = 5 // holds the supervisor's lock
)

const keepAlive = 'k' // the byte that cuts the lifeline without ending the node

// SuperviseCommand is the first argument with which Up starts its own program
// again. A program that calls Up must then call Supervise with the rest.
const SuperviseCommand = "supervise"

// Supervise is process 1 of the node. It returns only on an error.
func Supervise(args []string) error {
	if len(args) != 1 || os.Getpid() != 1 {
		return errors.New("supervise is started by up, as process 1 of namespaces of its own")
	}
	for _, fd := range []int{listenerFD, lifelineFD, lockFD} {
		unix.CloseOnExec(fd)
	}
	s, err := readSpec(args[0])
	if err != nil {
		return err
	}
	reaper := newReaper()
	go watchLifeline(s, reaper)
	ctx := context.Background()
	if err := prepareNode(ctx, s); err != nil {
		return err
	}
	go reaper.run()
	units := startUnits(s, reaper)
	if err := forwardAPI(ctx, s); err != nil {
		return err
	}
	return serveControl(ctx, s.Dir, units)
}

func readSpec(path string) (*spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &spec{}
	return s, json.Unmarshal(data, s)
}

// temporary is where the components put what they forget when they are killed:
// the kubelet a folder with which it tries out unmounting.
func (s *spec) temporary() string { return filepath.Join(s.Dir, "tmp") }

func prepareNode(ctx context.Context, s *spec) error {
	if err := mountNode(s); err != nil {
		return err
	}
	if err := os.MkdirAll(s.temporary(), 0o700); err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	if err := unix.Sethostname([]byte(NodeName)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return setUpNetwork(ctx)
}

// watchLifeline ends the node when whoever holds the other end of the pipe dies.
func watchLifeline(s *spec, r *reaper) {
	pipe := os.NewFile(lifelineFD, "lifeline")
	one := make([]byte, 1)
	n, _ := pipe.Read(one)
	if n == 1 && one[0] == keepAlive {
		pipe.Close()
		return
	}
	fmt.Println("the process that held the lifeline is gone: ending the node")
	r.killAll()
	cleanUp(s)
	os.Exit(1)
}

// cleanUp removes what would outlive the node. When another command has the
// state directory already, that one does it.
func cleanUp(s *spec) {
	if err := removeCgroups(s.CgroupRoot); err != nil {
		fmt.Println(err)
	}
	dir, err := os.Open(s.Dir)
	if err != nil || flock(dir, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	for _, dir := range slices.Backward(append(s.writable(), shadowed...)) {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
	_ = unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	if err := os.RemoveAll(s.Dir); err != nil {
		fmt.Println(err)
	}
}

func startUnits(s *spec, r *reaper) map[string]*unit {
	logs := filepath.Join(s.Dir, "logs")
	units := map[string]*unit{}
	for _, c := range s.components() {
		units[c.name] = newUnit(c, r, logs, append(nodeEnv(s), "TMPDIR="+s.temporary()))
	}
	for _, u := range units {
		var needs []*unit
		for _, name := range u.after {
			needs = append(needs, units[name])
		}
		go u.run(needs)
	}
	return units
}

// nodeEnv is the environment of everything on the node. Proxies of the host do
// not apply to it, and containerd finds its shim on the PATH.
func nodeEnv(s *spec) []string {
	path := append([]string{s.Bin}, systemPath...)
	return []string{
		"PATH=" + strings.Join(path, ":"),
		"HOME=/root",
		"KUBECONFIG=" + filepath.Join(s.Dir, "kubeconfig"),
		"CONTAINERD_ADDRESS=" + containerdSocket,
		"CONTAINERD_NAMESPACE=k8s.io",
	}
}

// forwardAPI makes kube-apiserver reachable under the same address on the host
// and on the node, so that one kubeconfig serves both.
func forwardAPI(ctx context.Context, s *spec) error {
	target := fmt.Sprintf("127.0.0.1:%d", apiServerPort)
	file := os.NewFile(listenerFD, "listener")
	host, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("inherited listener: %w", err)
	}
	file.Close()
	go forward(ctx, host, target)
	node, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		return err
	}
	go forward(ctx, node, target)
	return nil
}
