package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

// From linux/sock_diag.h, linux/inet_diag.h and net/tcp_states.h.
const (
	sockDiagByFamily = 20
	inetDiagInfo     = 2 // the attribute with TCP_INFO

	stateEstablished = 1
	stateCloseWait   = 8
	stateListen      = 10

	sizeofHeader   = unix.SizeofNlMsghdr
	sizeofRequest  = 56 // struct inet_diag_req_v2
	sizeofMessage  = 72 // struct inet_diag_msg
	attributeAlign = 4

	// Everything that is open or has something to send; not TIME_WAIT (6) and
	// CLOSE (7), which owe nothing, nor SYN_SENT (2) and SYN_RECV (3, 12),
	// which are not connections yet.
	states = 1<<1 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<10 | 1<<11

	// netlinkTimeout bounds a read: a dump takes microseconds.
	netlinkTimeout = 2 * time.Second
)

// diag is a sock_diag socket with its buffer.
type diag struct {
	fd       int
	sequence uint32
	buffer   []byte
	families []uint8
}

// socket is one entry of a dump.
type socket struct {
	listening bool
	conn      inflight.Conn
}

func openDiag() (*diag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("opening sock_diag: %w", err)
	}
	timeout := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("bounding sock_diag: %w", err), unix.Close(fd))
	}
	d := &diag{fd: fd, buffer: make([]byte, 32<<10), families: []uint8{unix.AF_INET, unix.AF_INET6}}
	if err := d.dump(func(socket) {}); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return d, nil
}

func (d *diag) close() error { return unix.Close(d.fd) }

// dump hands every socket to visit.
func (d *diag) dump(visit func(socket)) error {
	for _, family := range d.families {
		if err := d.dumpFamily(family, visit); err != nil {
			return fmt.Errorf("dumping sockets by sock_diag: %w", err)
		}
	}
	return nil
}

func (d *diag) dumpFamily(family uint8, visit func(socket)) error {
	d.sequence++
	if err := unix.Sendto(d.fd, d.request(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, from, err := unix.Recvfrom(d.fd, d.buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue
		}
		done, err := d.messages(d.buffer[:n], visit)
		if done && family == unix.AF_INET6 && errors.Is(err, unix.ENOENT) {
			return nil // no IPv6 in this kernel
		}
		if done || err != nil {
			return err
		}
	}
}

// request is struct nlmsghdr with struct inet_diag_req_v2.
func (d *diag) request(family uint8) []byte {
	b := make([]byte, sizeofHeader+sizeofRequest)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(b[8:], d.sequence)
	r := b[sizeofHeader:]
	r[0], r[1], r[2] = family, unix.IPPROTO_TCP, 1<<(inetDiagInfo-1)
	binary.NativeEndian.PutUint32(r[4:], states)
	return b
}

// messages reads the messages of one datagram.
func (d *diag) messages(b []byte, visit func(socket)) (done bool, err error) {
	for len(b) >= sizeofHeader {
		length := int(binary.NativeEndian.Uint32(b))
		if length < sizeofHeader || length > len(b) {
			return true, errors.New("malformed netlink message")
		}
		body := b[sizeofHeader:length]
		ours := binary.NativeEndian.Uint32(b[8:]) == d.sequence
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			if ours {
				return true, netlinkError(body)
			}
		case sockDiagByFamily:
			if s, ok := parse(body); ok && ours {
				visit(s)
			}
		}
		b = b[min(len(b), align(length)):]
	}
	return false, nil
}

// netlinkError is the error that an answer carries; a dump that was disturbed
// is repeated by the next look.
func netlinkError(body []byte) error {
	if len(body) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
		return unix.Errno(-code)
	}
	return nil
}

// parse reads struct inet_diag_msg and the TCP_INFO that follows it.
func parse(b []byte) (socket, bool) {
	if len(b) < sizeofMessage {
		return socket{}, false
	}
	s := socket{listening: b[1] == stateListen, conn: inflight.Conn{
		ID:       binary.NativeEndian.Uint64(b[44:]),
		Local:    netip.AddrPortFrom(address(b[0], b[8:24]), binary.BigEndian.Uint16(b[4:])),
		Remote:   netip.AddrPortFrom(address(b[0], b[24:40]), binary.BigEndian.Uint16(b[6:])),
		State:    state(b[1]),
		Unread:   binary.NativeEndian.Uint32(b[56:]),
		Unsent:   binary.NativeEndian.Uint32(b[60:]),
		Accepted: binary.NativeEndian.Uint32(b[68:]) != 0,
	}}
	for rest := b[sizeofMessage:]; len(rest) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofRtAttr || length > len(rest) {
			return socket{}, false
		}
		if binary.NativeEndian.Uint16(rest[2:]) == inetDiagInfo {
			addInfo(&s.conn, rest[unix.SizeofRtAttr:length])
		}
		rest = rest[min(len(rest), align(length)):]
	}
	return s, true
}

// addInfo takes over what is of use in TCP_INFO. Older kernels send less of it;
// what is missing stays 0.
func addInfo(c *inflight.Conn, b []byte) {
	var info unix.TCPInfo
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info)), b)
	c.Received, c.Sent = info.Bytes_received, info.Bytes_sent-info.Bytes_retrans
	c.SegmentsIn, c.SegmentsOut = info.Data_segs_in, info.Data_segs_out
	c.AcksIn, c.AcksOut = info.Segs_in-info.Data_segs_in, info.Segs_out-info.Data_segs_out
	c.SinceReceived = time.Duration(info.Last_data_recv) * time.Millisecond
	c.SinceSent = time.Duration(info.Last_data_sent) * time.Millisecond
	c.SinceAcked = time.Duration(info.Last_ack_recv) * time.Millisecond
}

func address(family uint8, b []byte) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

func state(s uint8) inflight.State {
	switch s {
	case stateEstablished:
		return inflight.Open
	case stateCloseWait:
		return inflight.PeerClosed
	}
	return inflight.WeClosed
}

func align(n int) int { return (n + attributeAlign - 1) &^ (attributeAlign - 1) }
