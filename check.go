package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/registration"
)

const (
	// checkUID tells the answer to our question from any other.
	checkUID types.UID = "drain-operator-check"
	// maxAnswerBytes is far more than an answer without a patch has.
	maxAnswerBytes = 1 << 16
	checkPeriod    = time.Second
)

// checkOptions say where `drain-operator check` asks.
type checkOptions struct {
	address    string
	serverName string
	caFile     string
	timeout    time.Duration
}

// check asks a running operator what an API server asks it, over a connection
// that is verified as an API server verifies it. It tries until the timeout:
// what is being installed is not ready at once.
func check(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseCheckOptions(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	for {
		err := o.ask(ctx)
		if err == nil {
			_, err = fmt.Fprintf(out, "the webhook at %s answers as %s\n", o.address, o.serverName)
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no good answer within %s: %w", o.timeout, err)
		case <-time.After(checkPeriod):
		}
	}
}

func parseCheckOptions(args []string) (checkOptions, error) {
	var o checkOptions
	flags := pflag.NewFlagSet("drain-operator check", pflag.ContinueOnError)
	flags.StringVar(&o.address, "address", "", "host:port of the webhook (required)")
	flags.StringVar(&o.serverName, "server-name", "", "name that its certificate must be for (required)")
	flags.StringVar(&o.caFile, "ca-file", "", "file with the CAs to trust (required)")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "how long to try")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.address == "" || o.serverName == "" || o.caFile == "" || flags.NArg() > 0 {
		return o, errors.New("check needs --address, --server-name and --ca-file, and nothing else")
	}
	return o, nil
}

// ask asks once what becomes of a pod that no policy selects.
func (o *checkOptions) ask(ctx context.Context) error {
	question, err := question()
	if err != nil {
		return err
	}
	cas, err := os.ReadFile(o.caFile)
	if err != nil {
		return fmt.Errorf("reading the CAs: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cas) {
		return fmt.Errorf("%s holds no certificate", o.caFile)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+o.address+registration.InjectPath, bytes.NewReader(question))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: o.serverName, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	return checkAnswer(response)
}

// question is a dry run, which no replica counts.
func question() ([]byte, error) {
	pod, err := json.Marshal(&corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "check", Namespace: metav1.NamespaceSystem},
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:       checkUID,
			Kind:      metav1.GroupVersionKind(schema.FromAPIVersionAndKind("v1", "Pod")),
			Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Operation: admissionv1.Create,
			Namespace: metav1.NamespaceSystem,
			Object:    runtime.RawExtension{Raw: pod},
			DryRun:    ptr.To(true),
		},
	})
}

func checkAnswer(response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return fmt.Errorf("the answer is no AdmissionReview: %w", err)
	}
	if review.Response == nil || review.Response.UID != checkUID || !review.Response.Allowed || len(review.Response.Patch) > 0 {
		return errors.New("the answer does not allow an ordinary pod as it is")
	}
	return nil
}
