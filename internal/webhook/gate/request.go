package gate

import (
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/webhook/review"
)

// request is what is read of an AdmissionRequest.
type request struct {
	UID         types.UID                   `json:"uid"`
	Resource    metav1.GroupVersionResource `json:"resource"`
	SubResource string                      `json:"subResource"`
	Operation   admissionv1.Operation       `json:"operation"`
	Namespace   string                      `json:"namespace"`
	// Name is empty for each pod of a DeleteCollection.
	Name   string `json:"name"`
	DryRun bool   `json:"dryRun"`
	User   struct {
		Name string `json:"username"`
	} `json:"userInfo"`
	// Eviction is the object of a creation, null for a deletion. What matters of it
	// is the same in policy/v1 and policy/v1beta1, which come as they were asked for.
	Eviction *struct {
		Options *metav1.DeleteOptions `json:"deleteOptions"`
	} `json:"object"`
	// Pod is the old object of a deletion, null for a creation.
	Pod *pod `json:"oldObject"`
	// Options of a deletion, with the grace that comes of them; of a creation
	// something else.
	Options *metav1.DeleteOptions `json:"options"`

	// unreadable is why not all of it could be read.
	unreadable error
}

// readRequest reads a review. One that cannot be read to its end is returned, too:
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
	asked.Request.unreadable = err
	return asked.Request, nil
}

// kind is empty for what reaches us only when somebody changed the registration.
func (r *request) kind() drain.Kind {
	switch ofPods := r.Resource.Group == "" && r.Resource.Resource == "pods"; {
	case ofPods && r.SubResource == "" && r.Operation == admissionv1.Delete:
		return drain.Delete
	case ofPods && r.SubResource == "eviction" && r.Operation == admissionv1.Create:
		return drain.Evict
	default:
		return ""
	}
}

// ask is what is asked for.
func (r *request) ask() (drain.Ask, error) {
	ask := drain.Ask{Kind: r.kind(), User: r.User.Name, DryRun: r.DryRun}
	options := r.Options
	switch {
	case r.unreadable != nil:
		return ask, fmt.Errorf("reading the request: %w", r.unreadable)
	case ask.Kind == drain.Delete && (r.Pod == nil || r.Pod.Meta.Name == ""):
		return ask, errors.New("reading the pod: there is none")
	case ask.Kind == drain.Evict && r.Eviction == nil:
		return ask, errors.New("reading the eviction: there is none")
	case ask.Kind == drain.Evict:
		options = r.Eviction.Options
	}
	if options == nil {
		return ask, nil
	}
	ask.GraceSeconds = options.GracePeriodSeconds
	// An eviction may say so in two places, and the API server looks at both.
	ask.DryRun = ask.DryRun || len(options.DryRun) > 0
	if p := options.Preconditions; p != nil && p.UID != nil {
		ask.UID = *p.UID
	}
	return ask, nil
}

// podName is the pod's name, as far as it can be told.
func (r *request) podName() string {
	if r.Pod != nil {
		return r.Pod.Meta.Name
	}
	return r.Name
}
