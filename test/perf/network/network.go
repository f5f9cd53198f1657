// Package network sets up the network namespaces in which benchmarks run.
package network

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// LoopbackUp brings up the one interface that a new network namespace has.
func LoopbackUp() error {
	return configure("lo", func(fd int, lo *unix.Ifreq) error {
		lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
	})
}

// Claim makes all addresses of an IPv4 prefix this namespace's own: whoever
// listens on all addresses is found under each of them.
func Claim(prefix netip.Prefix) error {
	address := prefix.Addr().Next().As4()
	var mask [4]byte
	for i := range prefix.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	// A second address of the loopback interface: all of its prefix is local.
	return configure("lo:1", func(fd int, alias *unix.Ifreq) error {
		return errors.Join(
			set(alias, address, func() error { return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias) }),
			set(alias, mask, func() error { return unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, alias) }),
		)
	})
}

func set(r *unix.Ifreq, address [4]byte, send func() error) error {
	if err := r.SetInet4Addr(address[:]); err != nil {
		return err
	}
	return send()
}

func configure(name string, with func(fd int, r *unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	r, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := with(fd, r); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}
