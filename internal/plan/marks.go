package plan

import (
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// InjectedBy reads whose settings a pod carries: the policy's name in the
// pod's namespace, and its generation. ok is false for a pod that is not
// injected, or whose annotation somebody has spoilt.
func InjectedBy(pod metav1.Object) (policy string, generation int64, ok bool) {
	if pod.GetLabels()[v1alpha1.LabelInjected] != "true" {
		return "", 0, false
	}
	policy, number, found := strings.Cut(pod.GetAnnotations()[v1alpha1.AnnotationInjectedBy], "/")
	generation, err := strconv.ParseInt(number, 10, 64)
	if !found || policy == "" || err != nil || generation < 0 {
		return "", 0, false
	}
	return policy, generation, true
}

// injectedBy is what InjectedBy reads.
func injectedBy(p Plan) string { return p.Policy + "/" + strconv.FormatInt(p.Generation, 10) }
