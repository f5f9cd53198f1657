package probe

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/address"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/drainstatus/dialect"
	"github.com/drain-operator/drain-operator/internal/drainstatus/metric"
)

// target is whom to ask, what and how.
type target struct {
	policy          types.NamespacedName
	url             string
	timeout, period time.Duration
	dialect         dialect.Dialect
	// noticeOver is when the time to tell the clients of long-lived connections
	// is over; zero: not yet.
	noticeOver time.Time
	// wrong is why nobody can be asked, empty where somebody can.
	wrong string
}

// targetOf a pod, with the API's defaults for policies that no API server has
// defaulted.
func targetOf(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, loopback bool) target {
	t := target{policy: types.NamespacedName{Namespace: policy.Namespace, Name: policy.Name}, period: time.Second}
	asked := policy.Spec.DrainStatus.HTTP
	if asked == nil {
		t.wrong = "the policy names no drainStatus.http"
		return t
	}
	t.timeout, t.period = seconds(cmp.Or(asked.TimeoutSeconds, 2)), seconds(cmp.Or(asked.PeriodSeconds, 1))
	t.dialect.DrainedWhen = dialect.DrainedWhen(asked.DrainedWhen)
	t.dialect.LongLived = drainstatus.LongLived(policy.Spec.LongLived.Policy)
	t.noticeOver = drain.NoticeOver(pod, policy)
	if asked.Metric != nil {
		t.dialect.Metric = metric.Selector{Name: asked.Metric.Name, MatchLabels: asked.Metric.MatchLabels}
	}
	url, err := urlOf(pod, asked.Port, asked.Scheme, cmp.Or(asked.Path, drainstatus.DefaultStatusPath), loopback)
	if err != nil {
		t.wrong = err.Error()
	}
	t.url = url
	return t
}

// judge is the dialect with the policy for long-lived connections as it stands
// at a time.
func (t target) judge(at time.Time) dialect.Dialect {
	d := t.dialect
	d.LongLived = d.LongLived.Standing(!t.noticeOver.IsZero() && !at.Before(t.noticeOver))
	return d
}

func urlOf(pod *corev1.Pod, port intstr.IntOrString, scheme v1alpha1.Scheme, path string, loopback bool) (string, error) {
	at, err := address.Of(pod, port, loopback)
	if err != nil {
		return "", fmt.Errorf("the pod %w", err)
	}
	if !strings.HasPrefix(path, "/") {
		return "", errors.New("the path does not start with /")
	}
	return strings.ToLower(string(cmp.Or(scheme, v1alpha1.SchemeHTTP))) + "://" + at.String() + path, nil
}

func seconds(s int32) time.Duration { return time.Duration(s) * time.Second }
