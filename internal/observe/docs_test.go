package observe

import (
	"os"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	build "github.com/drain-operator/drain-operator/internal/testing"
)

var fenced = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")

// The documentation's queries can be asked, and its configuration is one but
// for the files that it names.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/latency-sources.md")
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Policy: build.MakePolicy("checkout").Obj(), Pods: []*corev1.Pod{build.MakePod("a").Obj()}}
	queries, configurations := 0, 0
	for _, block := range fenced.FindAllStringSubmatch(string(page), -1) {
		switch kind, text := block[1], block[2]; {
		case kind == "promql":
			queries++
			query, err := filled(strings.TrimSpace(text), target)
			if err == nil {
				_, err = enforced(query, "namespace", "shop")
			}
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
		case strings.HasPrefix(text, "sources:"):
			configurations++
			dir := t.TempDir()
			_, err := parseSources([]byte(text), dir)
			if err == nil || !strings.Contains(err.Error(), "no such file") {
				t.Errorf("%s: %v, want nothing wrong but a file that is not there", text, err)
			}
		}
	}
	if queries < 10 || configurations != 1 {
		t.Errorf("%d queries and %d configurations were found", queries, configurations)
	}
	for _, reason := range []string{v1alpha1.ReasonHistogramTooCoarse, v1alpha1.ReasonQueryInvalid, v1alpha1.ReasonNoPodAnswered} {
		if !strings.Contains(string(page), reason) {
			t.Errorf("%s is not mentioned", reason)
		}
	}
}
