package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/drain-operator/drain-operator/internal/registration"
)

// webhookThat is a server that answers each question so, and the flags to ask it.
func webhookThat(t *testing.T, respond func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) []string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil || r.URL.Path != registration.InjectPath {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		review.Response = respond(review.Request)
		_ = json.NewEncoder(w).Encode(&review)
	}))
	t.Cleanup(server.Close)
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(caFile, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--address=" + server.Listener.Addr().String(), "--server-name=example.com", "--ca-file=" + caFile}
}

func allow(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true}
}

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		respond func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse
		further []string
		want    string // part of the error; empty when there is none
	}{
		"allowed":   {allow, nil, ""},
		"no answer": {func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { return nil }, nil, "does not allow"},
		"another's answer": {func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			return &admissionv1.AdmissionResponse{UID: "x", Allowed: true}
		}, nil, "does not allow"},
		"refused": {func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			return &admissionv1.AdmissionResponse{UID: r.UID}
		}, nil, "does not allow"},
		"a certificate's name": {allow, []string{"--server-name=elsewhere.test"}, "elsewhere.test"},
		"no CA file":           {allow, []string{"--ca-file=/nonexistent"}, "reading the CAs"},
		"nothing there":        {allow, []string{"--address=127.0.0.1:1"}, "connection refused"},
		"no address":           {allow, []string{"--address="}, "check needs --address"},
		"an argument":          {allow, []string{"please"}, "check needs --address"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parseCheckOptions(append(webhookThat(t, tc.respond), tc.further...))
			if err == nil {
				err = o.ask(t.Context())
			}
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestCheckTriesAgain(t *testing.T) {
	asked := 0
	args := webhookThat(t, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		if asked++; asked == 1 {
			return nil
		}
		return allow(r)
	})
	var out bytes.Buffer
	if err := check(t.Context(), args, &out); err != nil || !strings.Contains(out.String(), "answers as example.com") {
		t.Errorf("got %v, %q", err, out.String())
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
	if err := check(t.Context(), append(args, "--address=127.0.0.1:1", "--timeout=1ms"), &out); err == nil || !strings.Contains(err.Error(), "no good answer within 1ms") {
		t.Errorf("got %v", err)
	}
}
