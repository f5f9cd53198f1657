package guarantees

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const docs = "../../docs/guarantees"

func committed(t *testing.T) Data {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(docs, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPageIsWhatTheResultsSay(t *testing.T) {
	got, err := os.ReadFile(filepath.Join(docs, "table.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Page(committed(t)), string(got)); diff != "" {
		t.Errorf("docs/guarantees/table.md is not what results.json says (-results +page); run make guarantees-page\n%s", diff)
	}
}

func TestResultsAreAsTheyAreWritten(t *testing.T) {
	got, err := os.ReadFile(filepath.Join(docs, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := committed(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/guarantees/results.json is not as it is written (-written +file):\n%s", diff)
	}
}

var claimed = regexp.MustCompile(`\*\*none\*\* of ([0-9,]+)`)

// What the page claims, read from the page itself.
func TestNoneIsClaimedOfEnoughRequests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "table.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(page), "\n## ")
	for _, c := range claimed.FindAllStringSubmatch(tables, -1) {
		if n, err := strconv.Atoi(strings.ReplaceAll(c[1], ",", "")); err != nil || n < 10_000 {
			t.Errorf("%q is a claim on too few requests", c[0])
		}
	}
}

func TestEveryFailureIsExplained(t *testing.T) {
	for _, f := range committed(t).Unexplained() {
		t.Errorf("%s: nobody knows why %s requests end so: %s", f.Key, f.Client, f.Cause)
	}
}

func TestPage(t *testing.T) {
	bare := cell("go", Rollout, 8)
	bare.Variant = Bare
	d := Data{}.With(
		Entry{Cell: cell("go", Rollout, 8), Kubernetes: "v1.36.3", Cores: 2, Versions: map[string]string{"nginx": "1.22", "Go": "1.26"}},
		Entry{Cell: bare, Kubernetes: "v1.36.3", Cores: 2},
	)
	page := Page(d)
	for _, want := range []string{
		"Seen 2026-01-02 on Kubernetes v1.36.3, 2 cores for everything: 2 cells, 21,000 requests, 16 pods that ended under load.",
		"Figures: 2 × none, 0 × 0 of too few for a claim, 2 with failures.",
		"Versions: Go 1.26, nginx 1.22.",
		"### ClusterIP (kube-proxy)",
		"| go | rollout | **none** of 10,000 | 1 reset of 500 [[1]](#why) | – | – | 8 | 5.0 / 6.5 / 8.0 s | 8 Drained |",
		"| go | rollout | **none** of 10,000 | 1 reset of 500 [[2]](#why) | – | – | 8 | 5.0 / 6.5 / 8.0 s | 8 Drained |",
		"\n1. **Not explained.**\n2. The server closes",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
	if got := d.Unexplained(); len(got) != 1 || got[0].Variant != Covered {
		t.Errorf("unexplained are %v, want the one of the covered server", got)
	}
}
