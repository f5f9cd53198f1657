package observe

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

func TestFilled(t *testing.T) {
	policy := build.MakePolicy("check.out").Namespace("shop").Obj()
	policy.Spec.GracePeriod.Percentile = "99.9"
	policy.Spec.GracePeriod.WindowSeconds = 600
	const query = `{{ namespace }} {{ policy }} {{ percentile }} {{ quantile }} {{ window }} "{{ pods }}" {{ pods }}`
	got, err := filled(query, Target{Policy: policy, Pods: []*corev1.Pod{owned("ReplicaSet", "web-7d4b9", "web-7d4b9-x2x2x", "7d4b9")}})
	if err != nil {
		t.Fatal(err)
	}
	pods := "web-" + letter + "{1,10}-" + letter + "{5}"
	want := `shop check.out 99.9 0.999 600s "` + pods + `" ` + pods
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
}

// A value that could end the quotes around it is not put into a query, whoever let it through.
func TestFilledRefuses(t *testing.T) {
	tests := map[string]struct {
		query string
		edit  func(*v1alpha1.DrainPolicy)
		pods  []*corev1.Pod
	}{
		"a quote":        {query: `{{ policy }}`, edit: func(p *v1alpha1.DrainPolicy) { p.Name = `x"} or secret{a="` }},
		"a backslash":    {query: `{{ namespace }}`, edit: func(p *v1alpha1.DrainPolicy) { p.Namespace = `x\` }},
		"a backtick":     {query: `{{ pods }}`, pods: []*corev1.Pod{build.MakePod("x`").Obj()}},
		"a percentile":   {query: `{{ percentile }}`, edit: func(p *v1alpha1.DrainPolicy) { p.Spec.GracePeriod.Percentile = "9x" }},
		"no pod":         {query: `{{ pods }}`},
		"too many pods":  {query: `{{ pods }}`, pods: named(101, "p")},
		"names too long": {query: `{{ pods }}`, pods: named(20, strings.Repeat("p", 250))},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy := build.MakePolicy("checkout").Obj()
			if tc.edit != nil {
				tc.edit(policy)
			}
			if got, err := filled(tc.query, Target{Policy: policy, Pods: tc.pods}); err == nil {
				t.Errorf("got %q, want an error", got)
			}
		})
	}
}

func TestQuantileText(t *testing.T) {
	for percentile, want := range map[string]string{"50": "0.5", "95": "0.95", "99": "0.99", "99.9": "0.999", "99.99": "0.9999", "90.0": "0.9", "5": "0.05"} {
		if got := quantileText(percentile); got != want {
			t.Errorf("percentile %s: got %s, want %s", percentile, got, want)
		}
	}
}

func named(n int, prefix string) []*corev1.Pod {
	pods := make([]*corev1.Pod, n)
	for i := range pods {
		pods[i] = build.MakePod(fmt.Sprintf("%s-%d", prefix, i)).Obj()
	}
	return pods
}

// owned is a pod as the owner's controller makes it.
func owned(kind, owner, name, hash string) *corev1.Pod {
	pod := build.MakePod(name).Obj()
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: owner, Controller: ptr.To(true)}}
	if kind != "StatefulSet" {
		pod.GenerateName = owner + "-"
	}
	if hash != "" {
		pod.Labels = map[string]string{"pod-template-hash": hash}
	}
	return pod
}

func TestPodsPattern(t *testing.T) {
	long := strings.Repeat("long", 15)
	tests := map[string]struct {
		pods      []*corev1.Pod
		matches   []string
		otherwise []string
	}{
		"a Deployment, with earlier revisions": {
			pods:      []*corev1.Pod{owned("ReplicaSet", "web-7d4b9", "web-7d4b9-x2x2x", "7d4b9"), owned("ReplicaSet", "web-7d4b9", "web-7d4b9-zzzzz", "7d4b9")},
			matches:   []string{"web-7d4b9-x2x2x", "web-68cc7fc7f4-bbbbb"},
			otherwise: []string{"web-api-7d4b9-x2x2x", "web-api-x2x2x", "web-0", "myweb-7d4b9-x2x2x", "web-7d4b9-x2x2x-y", "web-7d4b9-x2x2"},
		},
		"a ReplicaSet alone": {
			pods:      []*corev1.Pod{owned("ReplicaSet", "web", "web-x2x2x", "")},
			matches:   []string{"web-x2x2x", "web-zzzzz"},
			otherwise: []string{"web-7d4b9-x2x2x"},
		},
		"a Deployment whose pods' names have no room for the hash": {
			pods:      []*corev1.Pod{owned("ReplicaSet", long+"-7d4b9", long[:58]+"x2x2x", "7d4b9")},
			matches:   []string{long[:58] + "x2x2x", long[:58] + "zzzzz"},
			otherwise: []string{long[:57] + "x2x2x"},
		},
		"a DaemonSet": {
			pods:      []*corev1.Pod{owned("DaemonSet", "proxy", "proxy-x2x2x", "")},
			matches:   []string{"proxy-x2x2x", "proxy-zzzzz"},
			otherwise: []string{"proxy-other-x2x2x", "proxy-ab"},
		},
		"a StatefulSet": {
			pods:      []*corev1.Pod{owned("StatefulSet", "db", "db-1", "")},
			matches:   []string{"db-0", "db-12"},
			otherwise: []string{"db-a", "db-0-1", "other-db-0"},
		},
		"a pod of its own, with a dot": {
			pods:      []*corev1.Pod{build.MakePod("one.pod-x").Obj()},
			matches:   []string{"one.pod-x"},
			otherwise: []string{"onezpod-x"},
		},
		"an owner that names its pods itself": {
			pods:      []*corev1.Pod{func() *corev1.Pod { p := owned("Game", "game", "game-blue", ""); p.GenerateName = ""; return p }()},
			matches:   []string{"game-blue"},
			otherwise: []string{"game-green"},
		},
		"several owners": {
			pods:      []*corev1.Pod{owned("StatefulSet", "db", "db-1", ""), build.MakePod("one").Obj()},
			matches:   []string{"db-7", "one"},
			otherwise: []string{"db-7one", "one-db-7"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pattern, err := podsPattern(tc.pods)
			if err != nil {
				t.Fatal(err)
			}
			anchored := regexp.MustCompile("^(?:" + pattern + ")$")
			for _, name := range tc.matches {
				if !anchored.MatchString(name) {
					t.Errorf("%s does not match %s", pattern, name)
				}
			}
			for _, name := range tc.otherwise {
				if anchored.MatchString(name) {
					t.Errorf("%s matches %s", pattern, name)
				}
			}
			if _, err := enforced(`up{pod=~"`+pattern+`"}`, "namespace", "shop"); err != nil {
				t.Errorf("the pattern cannot be asked for: %v", err)
			}
		})
	}
}
