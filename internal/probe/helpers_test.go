package probe

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

const (
	ms = time.Millisecond

	bodyBusy    = `{"version":1,"inFlight":3}`
	bodyDrained = `{"version":1,"inFlight":0}`
)

// says answers every request with one body.
func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// hangs until whoever asked has gone.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not see it go
	<-r.Context().Done()
}

// podAt is a running pod that serves at an address of this host, under a port named web.
func podAt(t *testing.T, url string) *corev1.Pod {
	t.Helper()
	at, err := netip.ParseAddrPort(url)
	if err != nil {
		t.Fatal(err)
	}
	pod := build.MakePod("a").Container(build.MakeContainer("app").Port("web", int32(at.Port()))).Obj()
	pod.UID = types.UID("uid of " + url)
	pod.Status.PodIP, pod.Status.HostIP = at.Addr().String(), "192.0.2.1"
	return pod
}

// serve starts an endpoint, and returns the pod that it is in.
func serve(t *testing.T, handler http.HandlerFunc) *corev1.Pod {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return podAt(t, server.Listener.Addr().String())
}

// asking is a policy that reads the drain status at the port named web in a
// period of 1 s, with a timeout that only what hangs exceeds.
func asking(edit func(*v1alpha1.HTTPDrainStatus)) *v1alpha1.DrainPolicy {
	p := build.MakePolicy("web").HTTP(intstr.FromString("web")).Notify(intstr.FromString("web")).Obj()
	p.Spec.DrainStatus.HTTP.TimeoutSeconds = 30
	if edit != nil {
		edit(p.Spec.DrainStatus.HTTP)
	}
	return p
}

// hasty is the timeout for what hangs: nothing else is told by it.
func hasty(s *v1alpha1.HTTPDrainStatus) { s.TimeoutSeconds = 1 }
