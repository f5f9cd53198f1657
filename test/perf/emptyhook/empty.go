// Package emptyhook is the webhook that others are compared with: it answers
// "allowed" as soon as it knows to what. It runs as a process of its own, as ours
// does: it is asked as often as ours, and is kept no warmer than it.
package emptyhook

import (
	"bufio"
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
)

// Subcommand is how this program is started anew as the empty webhook.
const Subcommand = "empty-webhook"

// LabelPath is where it adds a label, which shows what a patch costs the API
// server by itself.
const LabelPath = "/label"

// maxReview bounds what the empty webhook reads.
const maxReview = 8 << 20

// keys travel to the empty webhook on its standard input.
type keys struct{ Cert, Key []byte }

// Start starts a process. It returns the URL at which it answers, and the PEM of
// the certificate to trust.
func Start() (url string, bundle []byte, stop func() error, err error) {
	var k keys
	if k.Cert, k.Key, err = cert.GenerateSelfSignedCertKey("empty", []net.IP{net.IPv4(127, 0, 0, 1)}, nil); err != nil {
		return "", nil, nil, err
	}
	address, stop, err := startProcess(k)
	return "https://" + address, k.Cert, stop, err
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

// Serve is the empty webhook: it tells its address and answers until its
// standard input ends.
func Serve(in io.Reader, out io.Writer) error {
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
	if strings.HasPrefix(r.URL.Path, LabelPath) {
		response.PatchType = ptr.To(admissionv1.PatchTypeJSONPatch)
		response.Patch = []byte(`[{"op":"add","path":"/metadata/labels/bench","value":"true"}]`)
	}
	rw.Header().Set("Content-Type", "application/json")
	// The API server sees whether the answer came.
	_ = json.NewEncoder(rw).Encode(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Response: response,
	})
}
