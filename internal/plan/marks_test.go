package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

func TestInjectedBy(t *testing.T) {
	type answer struct {
		Policy     string
		Generation int64
		OK         bool
	}
	injected := func(by string) *utiltesting.PodWrapper {
		return utiltesting.MakePod("a").Label(v1alpha1.LabelInjected, "true").Annotation(v1alpha1.AnnotationInjectedBy, by)
	}
	plain := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app"))
	for name, tc := range map[string]struct {
		pod  *utiltesting.PodWrapper
		want answer
	}{
		"not injected":        {pod: plain},
		"injected by us":      {pod: &utiltesting.PodWrapper{Pod: *inject(utiltesting.MakePolicy("shop").Generation(7), plain.Obj(), byInit)}, want: answer{"shop", 7, true}},
		"annotation alone":    {pod: plain.Annotation(v1alpha1.AnnotationInjectedBy, "shop/7")},
		"label alone":         {pod: utiltesting.MakePod("a").Label(v1alpha1.LabelInjected, "true")},
		"no generation":       {pod: injected("shop")},
		"no number":           {pod: injected("shop/x")},
		"negative":            {pod: injected("shop/-1")},
		"no policy":           {pod: injected("/1")},
		"too much":            {pod: injected("shop/1/2")},
		"beyond every number": {pod: injected("shop/99999999999999999999")},
	} {
		t.Run(name, func(t *testing.T) {
			var got answer
			got.Policy, got.Generation, got.OK = plan.InjectedBy(tc.pod.Obj())
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// BenchmarkInject is what one admission costs without the server around it.
func BenchmarkInject(b *testing.B) {
	p := utiltesting.MakePolicy("p").Obj()
	pod := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Port("http", 8080)).
		Container(utiltesting.MakeContainer("istio-proxy")).Obj()
	b.ReportAllocs()
	for b.Loop() {
		plan.Apply(plan.Build(p, pod, byInit), pod)
	}
}
