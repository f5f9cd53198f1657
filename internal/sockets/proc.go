package sockets

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

// passiveOpens reads how many connections the network namespace has accepted,
// less those that the agent made itself.
func passiveOpens(own *Own) (uint64, bool) {
	// The page first: a dial that begins in between is taken off too early, and
	// never looks like somebody else's.
	page, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, false
	}
	opens, ok := parseOpens(string(page))
	return opens - min(opens, own.count()), ok
}

// parseOpens finds PassiveOpens: a line of names, and one of values.
func parseOpens(page string) (uint64, bool) {
	var names []string
	for line := range strings.Lines(page) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "PassiveOpens" && i < len(fields) {
				n, err := strconv.ParseUint(fields[i], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}

// Listeners reads the listening sockets from /proc/net, which needs no netlink.
func Listeners() ([]inflight.Listener, error) {
	four, err := listeners("/proc/self/net/tcp")
	if err != nil {
		return nil, err
	}
	six, err := listeners("/proc/self/net/tcp6")
	if os.IsNotExist(err) {
		return four, nil // no IPv6 in this kernel
	}
	return append(four, six...), err
}

func listeners(path string) ([]inflight.Listener, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading sockets: %w", err)
	}
	defer func() { _ = file.Close() }() // only read from
	var found []inflight.Listener
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if l, ok := parseListener(lines.Text()); ok {
			found = append(found, l)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading sockets: %w", err)
	}
	return found, nil
}

// parseListener reads a line such as
// "0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 …": the state 0A is
// LISTEN, its receive queue the backlog.
func parseListener(line string) (inflight.Listener, bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 || fields[3] != "0A" {
		return inflight.Listener{}, false
	}
	local, ok := parseAddress(fields[1])
	_, queue, split := strings.Cut(fields[4], ":")
	backlog, err := strconv.ParseUint(queue, 16, 32)
	return inflight.Listener{Local: local, Backlog: uint32(backlog)}, ok && split && err == nil
}

// parseAddress reads an address in hexadecimal words of the machine's byte
// order, and a port.
func parseAddress(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// Age is how long the pod's network namespace exists, as far as can be told; 0
// if it cannot. Two things are about as old: the container's first process,
// younger after a restart of the container, and /etc/hostname, which the
// runtime writes once per pod. The older counts: an age that is too high makes
// traffic look rarer, which is the safe side.
func Age(now time.Time) time.Duration {
	age := time.Duration(0)
	if info, err := os.Stat("/etc/hostname"); err == nil {
		age = max(age, now.Sub(info.ModTime()))
	}
	if first, ok := ProcessAge(1); ok {
		age = max(age, first)
	}
	return age
}

// ticks per second of the times in /proc: USER_HZ, 100 on every architecture.
const userHZ = 100

// ProcessAge is how long ago a process started.
func ProcessAge(pid int) (time.Duration, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	started, ok := parseStart(string(stat))
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil || !ok {
		return 0, false
	}
	return max(0, time.Duration(boot.Nano())-started), true
}

// parseStart finds field 22 of /proc/<pid>/stat, the start since boot. The
// name in field 2 may hold anything, parentheses and spaces included.
func parseStart(stat string) (time.Duration, bool) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, false
	}
	fields := strings.Fields(stat[end+1:])
	const start = 22 - 3
	if len(fields) <= start {
		return 0, false
	}
	n, err := strconv.ParseInt(fields[start], 10, 64)
	return time.Duration(n) * (time.Second / userHZ), err == nil && n >= 0
}
