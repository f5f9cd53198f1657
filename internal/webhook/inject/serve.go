package inject

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// maxReviewBytes bounds a review. The largest object that an API server takes
// has 3 MiB.
const maxReviewBytes = 7 << 20

// request is what is read of an AdmissionRequest. The pod is read with the
// review around it, in one go: for an object of its own it would be read three
// times, and that takes longer than to work out what to inject.
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
	rw.Header().Set("Content-Type", "application/json")
	err = json.NewEncoder(rw).Encode(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Response: response,
	})
	if err != nil { // the API server has gone
		log.Error(err, "answering a review")
	}
}

// readRequest reads a review. One whose pod cannot be read is returned, too:
// it can be answered.
func readRequest(rw http.ResponseWriter, r *http.Request) (*request, error) {
	body, err := readBody(http.MaxBytesReader(rw, r.Body, maxReviewBytes), r.ContentLength)
	if err != nil {
		return nil, fmt.Errorf("reading the review: %w", err)
	}
	var review struct {
		Request *request `json:"request"`
	}
	err = utiljson.Unmarshal(body, &review)
	if review.Request == nil || review.Request.UID == "" {
		return nil, errors.Join(errors.New("the review has no request with a UID"), err)
	}
	review.Request.body, review.Request.unreadable = body, err
	return review.Request, nil
}

// readBody reads all, into a buffer of the right size where it was announced.
func readBody(body io.Reader, announced int64) ([]byte, error) {
	if announced < 0 || announced > maxReviewBytes {
		return io.ReadAll(body)
	}
	buffer := make([]byte, announced)
	_, err := io.ReadFull(body, buffer)
	return buffer, err
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
	var review struct {
		Request struct {
			Object any `json:"object"`
		} `json:"request"`
	}
	err := json.Unmarshal(r.body, &review)
	return review.Request.Object, err
}
