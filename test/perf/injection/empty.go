package injection

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// Subcommand is how this program is started anew as the empty webhook.
const Subcommand = "empty-webhook"

// labelPath is where the empty webhook adds a label, which shows what a patch
// costs the API server by itself.
const labelPath = "/label"

// maxReview bounds what the empty webhook reads.
const maxReview = 8 << 20

// keys travel to the empty webhook on its standard input.
type keys struct{ Cert, Key []byte }

// startEmpty starts the empty webhook and the one that adds a label, each as a
// process of its own, as ours is one: each is asked as often as ours, and none
// is kept warmer than it. They are registered exactly as ours is.
func startEmpty(ctx context.Context, env *framework.Environment, namespace, labelNamespace string) (stop func() error, err error) {
	stopEmpty, err := startAt(ctx, env, "", namespace)
	if err != nil {
		return nil, err
	}
	stopLabel, err := startAt(ctx, env, labelPath, labelNamespace)
	if err != nil {
		return nil, errors.Join(err, stopEmpty())
	}
	return func() error { return errors.Join(stopEmpty(), stopLabel()) }, nil
}

// startAt starts a process and registers a path of it for a namespace.
func startAt(ctx context.Context, env *framework.Environment, path, namespace string) (stop func() error, err error) {
	var k keys
	if k.Cert, k.Key, err = cert.GenerateSelfSignedCertKey("empty", []net.IP{net.IPv4(127, 0, 0, 1)}, nil); err != nil {
		return nil, err
	}
	address, stop, err := startProcess(k)
	if err != nil {
		return nil, err
	}
	config := registration.Registration{
		Target: registration.Target{URL: "https://" + address + path}, Bundle: k.Cert, Namespaces: []string{namespace},
	}.Configuration().WithName("bench-" + namespace)
	config.Webhooks[0].WithName(namespace + ".bench.drain-operator.dev")
	if err := env.Client.Apply(ctx, config, client.FieldOwner("bench")); err != nil {
		return nil, errors.Join(fmt.Errorf("registering the empty webhook: %w", err), stop())
	}
	return stop, nil
}

func startProcess(k keys) (address string, stop func() error, err error) {
	cmd := exec.Command("/proc/self/exe", Subcommand)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	// It ends when its standard input does.
	stop = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	if err := json.NewEncoder(in).Encode(k); err != nil {
		return "", nil, errors.Join(err, stop())
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the empty webhook does not say where it listens: %w", err), stop())
	}
	return line[:len(line)-1], stop, nil
}

// ServeEmpty is the empty webhook: it tells its address and answers until its
// standard input ends.
func ServeEmpty(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	var k keys
	if err := decoder.Decode(&k); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(k.Cert, k.Key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(allow), TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}, ReadHeaderTimeout: time.Minute,
	}
	go func() {
		var more any
		_ = decoder.Decode(&more) // whatever comes, it is the end
		_ = server.Close()
	}()
	fmt.Fprintln(out, l.Addr())
	if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// allow answers as soon as it knows to what. It reads no more than the UID.
func allow(rw http.ResponseWriter, r *http.Request) {
	var review struct {
		Request struct{ UID types.UID }
	}
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxReview)).Decode(&review); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	if strings.HasPrefix(r.URL.Path, labelPath) {
		response.PatchType = ptr.To(admissionv1.PatchTypeJSONPatch)
		response.Patch = []byte(`[{"op":"add","path":"/metadata/labels/bench","value":"true"}]`)
	}
	rw.Header().Set("Content-Type", "application/json")
	// The API server sees whether the answer came.
	_ = json.NewEncoder(rw).Encode(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Response: response,
	})
}
