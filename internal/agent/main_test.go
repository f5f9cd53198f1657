package agent

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	envInside = "DRAIN_AGENT_TEST_INSIDE"
	envMain   = "DRAIN_AGENT_TEST_MAIN"

	// podIP is a second address in the tests' network namespace.
	podIP = "10.99.0.2"
)

// The tests run in namespaces of their own: what they count, signal and listen
// on is theirs alone. Without the right to make them they fail, and say so.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(envServer) != "":
		os.Exit(server(os.Getenv(envServer)))
	case os.Getenv(envMain) != "":
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	case os.Getenv(envInside) == "":
		os.Exit(again())
	}
	if err := setUp(); err != nil {
		fmt.Fprintf(os.Stderr, "setting up the namespaces of the tests: %v\n", err)
		os.Exit(1)
	}
	// Most tests wait, and need no processor for it.
	flag.Parse()
	if err := flag.Set("test.parallel", "64"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// again runs the tests in new namespaces: as root, or in a user namespace.
func again() int {
	runtime.LockOSThread() // Pdeathsig is the thread's
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Pdeathsig:  unix.SIGKILL,
	}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintf(os.Stderr, "the tests need namespaces of their own (root, or user namespaces): %v\n", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

func setUp() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := newborn(); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := address(fd, "lo:1", [4]byte{10, 99, 0, 2}); err != nil {
		return err
	}
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up)
}

// address gives an interface an IPv4 address.
func address(fd int, name string, ip [4]byte) error {
	request := struct {
		name [unix.IFNAMSIZ]byte
		addr unix.RawSockaddrInet4
		_    [8]byte
	}{addr: unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip}}
	copy(request.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("giving %s an address: %w", name, errno)
	}
	return nil
}

// newborn makes /etc/hostname as old as the tests, as a runtime does for a pod.
func newborn() error {
	const hostname = "/etc/hostname"
	if _, err := os.Stat(hostname); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	fresh, err := os.CreateTemp("", "hostname")
	if err != nil {
		return err
	}
	if err := unix.Mount(fresh.Name(), hostname, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting a new %s: %w", hostname, err)
	}
	return errors.Join(fresh.Close(), os.Remove(fresh.Name()))
}
