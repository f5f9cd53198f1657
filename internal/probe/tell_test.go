package probe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

// notification is what came to an endpoint.
type notification struct{ Method, Path, Body, Token string }

// takes notes notifications, and answers the codes one after the other, then 200.
type takes struct {
	mu    sync.Mutex
	came  []notification
	codes []int
}

func (n *takes) serve(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	n.came = append(n.came, notification{r.Method, r.URL.Path, string(body), r.Header.Get(drainstatus.TokenHeader)})
	if len(n.codes) > 0 {
		w.WriteHeader(n.codes[0])
		n.codes = n.codes[1:]
	}
}

func TestTell(t *testing.T) {
	yes := notification{http.MethodPost, "/drain", `{"draining":true}`, "secret"}
	no := notification{http.MethodPost, "/drain", `{"draining":false}`, "secret"}
	tests := map[string]struct {
		draining bool
		codes    []int
		want     []notification
		answered int // 0: no error
	}{
		"draining":              {true, nil, []notification{yes}, 0},
		"no longer":             {false, nil, []notification{no}, 0},
		"not ready yet":         {true, []int{503, 500}, []notification{yes, yes, yes}, 0},
		"not allowed":           {true, []int{403}, []notification{yes}, 403},
		"sent elsewhere":        {true, []int{307}, []notification{yes}, 307},
		"of no content":         {true, []int{204}, []notification{yes}, 0},
		"asked to come back in": {false, []int{429}, []notification{no, no}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoint := &takes{codes: tc.codes}
				n := network{}
				pod := n.pod(t, "10.1.0.1:80", http.HandlerFunc(endpoint.serve))
				p := n.prober(Options{Token: func(context.Context, *corev1.Pod) string { return "secret" }})
				err := p.Tell(t.Context(), pod, asking(nil), tc.draining)
				var answered *drainclient.AnsweredError
				if errors.As(err, &answered) != (tc.answered > 0) || answered != nil && answered.StatusCode != tc.answered {
					t.Errorf("got %v, want an answer %d", err, tc.answered)
				}
				if tc.answered == 0 && err != nil {
					t.Errorf("got %v", err)
				}
				if diff := cmp.Diff(tc.want, endpoint.came); diff != "" {
					t.Errorf("notifications (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTellNobody(t *testing.T) {
	policy := asking(nil)
	policy.Spec.PreStop.Notify = nil
	endpoint := &takes{}
	if err := New(Options{Loopback: true}).Tell(t.Context(), serve(t, endpoint.serve), policy, true); err != nil || len(endpoint.came) > 0 {
		t.Errorf("got %v and %v", err, endpoint.came)
	}
}

func TestTellGivesUp(t *testing.T) {
	for name, n := range map[string]network{
		"nobody answers":   {"10.1.0.1:80": nil},
		"nobody listens":   {},
		"always tomorrow?": {"10.1.0.1:80": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := n.prober(Options{}).Tell(t.Context(), podAt(t, "10.1.0.1:80"), asking(nil), true)
				if took := time.Since(start); err == nil || took != tellWithin {
					t.Errorf("got %v after %v, want an error after %v", err, took, tellWithin)
				}
			})
		})
	}
}

func TestTokenIn(t *testing.T) {
	with := func(env ...corev1.EnvVar) *corev1.Pod {
		return build.MakePod("a").Container(build.MakeContainer("proxy")).
			Container(build.MakeContainer("app").With(func(c *corev1.Container) { c.Env = env })).Obj()
	}
	fromSecret := corev1.EnvVar{Name: drainstatus.TokenEnv, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "token"}}}
	tests := map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"none":         {with(), ""},
		"other":        {with(corev1.EnvVar{Name: "TOKEN", Value: "x"}), ""},
		"in the pod":   {with(corev1.EnvVar{Name: drainstatus.TokenEnv, Value: "secret"}), "secret"},
		"in a Secret":  {with(fromSecret), ""},
		"in a sidecar": {build.MakePod("a").Sidecar(build.MakeContainer("app").With(func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: drainstatus.TokenEnv, Value: "x"}} })).Obj(), "x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := TokenIn(tc.pod); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
