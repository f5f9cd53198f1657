package inject

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/internal/webhook/review"
)

// request is what is read of an AdmissionRequest.
type request struct {
	UID         types.UID                   `json:"uid"`
	Resource    metav1.GroupVersionResource `json:"resource"`
	SubResource string                      `json:"subResource"`
	Operation   admissionv1.Operation       `json:"operation"`
	Namespace   string                      `json:"namespace"`
	DryRun      bool                        `json:"dryRun"`
	Object      *corev1.Pod                 `json:"object"`

	// unreadable is why the pod could not be read.
	unreadable error
	// body is the review as it came.
	body []byte
}

// ServeHTTP answers a review, in the only version that we are registered for.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	log := logf.FromContext(r.Context()).WithName("inject")
	req, err := readRequest(rw, r)
	if err != nil {
		log.Error(err, "reading a review")
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	response := h.Handle(logf.IntoContext(r.Context(), log), req)
	if err := review.Answer(rw, response); err != nil { // the API server has gone
		log.Error(err, "answering a review")
	}
}

// readRequest reads a review. One whose pod cannot be read is returned, too:
// it can be answered.
func readRequest(rw http.ResponseWriter, r *http.Request) (*request, error) {
	body, err := review.Body(rw, r)
	if err != nil {
		return nil, err
	}
	var asked struct {
		Request *request `json:"request"`
	}
	err = utiljson.Unmarshal(body, &asked)
	if asked.Request == nil || asked.Request.UID == "" {
		return nil, errors.Join(errors.New("the review has no request with a UID"), err)
	}
	asked.Request.body, asked.Request.unreadable = body, err
	return asked.Request, nil
}

// pod is the pod to be created.
func (r *request) pod() (*corev1.Pod, error) {
	switch pod := r.Object; {
	case r.unreadable != nil:
		return nil, fmt.Errorf("reading the pod: %w", r.unreadable)
	case pod == nil:
		return nil, errors.New("reading the pod: there is none")
	case pod.Kind != "" && pod.Kind != "Pod" || pod.APIVersion != "" && pod.APIVersion != "v1":
		return nil, fmt.Errorf("reading the pod: it is a %s of %s", pod.Kind, pod.APIVersion)
	default:
		return pod, nil
	}
}

// podName is the pod's name, or what its name will begin with.
func (r *request) podName() string {
	if r.Object == nil {
		return ""
	}
	return cmp.Or(r.Object.Name, r.Object.GenerateName)
}

// wire is the pod as it came, with what this build does not know.
func (r *request) wire() (any, error) {
	var asked struct {
		Request struct {
			Object any `json:"object"`
		} `json:"request"`
	}
	err := json.Unmarshal(r.body, &asked)
	return asked.Request.Object, err
}
