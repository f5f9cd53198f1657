package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/internal/drainclient"
)

// network leads from an address to what serves there, within this process: on
// it, and in a bubble of synctest, times are exact however busy the machine is.
// What has no handler takes a connection and says nothing. An address that is
// not there refuses.
type network map[string]http.Handler

func (n network) dial(_ context.Context, _, address string) (net.Conn, error) {
	handler, found := n[address]
	if !found {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	near, far := net.Pipe()
	if handler == nil {
		go func() { _, _ = io.Copy(io.Discard, far) }() // until the client is gone
		return near, nil
	}
	go answerOnce(far, handler)
	return near, nil
}

// answerOnce serves one request and closes.
func answerOnce(conn net.Conn, handler http.Handler) {
	defer conn.Close()
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return // the client is gone
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	_ = recorder.Result().Write(conn) // or it is gone by now
}

// prober asks over the network instead of the machine's.
func (n network) prober(o Options) *Prober {
	p := New(o)
	p.client = drainclient.New(n.dial, false)
	return p
}

// watch is the package's watch on this network.
func (n network) watch(t *testing.T, o Options) *audience {
	t.Helper()
	return listenTo(t.Context(), n.prober(o))
}

// pod joins a pod at an address to the network.
func (n network) pod(t *testing.T, address string, handler http.Handler) *corev1.Pod {
	t.Helper()
	n[address] = handler
	return podAt(t, address)
}

func listenTo(ctx context.Context, p *Prober) *audience {
	a := &audience{changes: make(chan types.NamespacedName, 10_000)}
	a.watcher = NewWatcher(ctx, p, func(pod types.NamespacedName) { a.changes <- pod })
	return a
}
