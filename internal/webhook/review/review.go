// Package review reads what an API server asks a webhook, and writes the answer.
// The objects are read with the review around them, in one go: as objects of
// their own they would be read three times, and that takes longer than to work
// out the answer.
package review

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxBytes bounds a review. The largest object that an API server takes has
// 3 MiB.
const maxBytes = 7 << 20

// Body reads all of a review, into a buffer of the right size where it was
// announced.
func Body(rw http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, announced := http.MaxBytesReader(rw, r.Body, maxBytes), r.ContentLength
	if announced < 0 || announced > maxBytes {
		read, err := io.ReadAll(body)
		return read, wrap(err)
	}
	buffer := make([]byte, announced)
	_, err := io.ReadFull(body, buffer)
	return buffer, wrap(err)
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("reading the review: %w", err)
	}
	return nil
}

// Answer writes the answer, in the only version that we are registered for. An
// error means that the API server has gone.
func Answer(rw http.ResponseWriter, response *admissionv1.AdmissionResponse) error {
	rw.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(rw).Encode(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Response: response,
	})
}
