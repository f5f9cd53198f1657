package drain_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

func page(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// docs/gate.md has the rules in the order in which they are asked.
func TestRulesAreDocumented(t *testing.T) {
	var documented []drain.VerdictReason
	for _, row := range regexp.MustCompile("(?m)^\\| [0-9]* ?\\| `([A-Za-z]+)` \\|").FindAllStringSubmatch(page(t, "gate.md"), -1) {
		documented = append(documented, drain.VerdictReason(row[1]))
	}
	if diff := cmp.Diff(drain.VerdictReasons, documented); diff != "" {
		t.Errorf("docs/gate.md does not have a row per rule (-rules +rows):\n%s", diff)
	}
}

// An edit of the gate acts on a pod that is held now.
func TestEditsOfTheGate(t *testing.T) {
	tests := map[string]struct {
		pod           edit
		change        edit
		before, after drain.VerdictReason
	}{
		"spec.gate.hold": {
			held, spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination }),
			drain.RefusedNotDrained, drain.AllowedNotHeld,
		},
		"spec.gate.maxHoldSeconds": {
			held, spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.MaxHoldSeconds = 59 }),
			drain.RefusedNotDrained, drain.AllowedBound,
		},
		"spec.gate.onStatusFailure": {
			func(s *drain.Snapshot) { held(s); isUnreadable(s); holdsOnFailure(s) },
			spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.OnStatusFailure = v1alpha1.OnStatusFailureRelease }),
			drain.RefusedNotDrained, drain.AllowedStatusUnknown,
		},
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(spec\\.gate\\.[A-Za-z]+)` \\| at once \\|").FindAllStringSubmatch(page(t, "editing.md"), -1) {
		documented[row[1]] = true
		if _, tested := tests[row[1]]; !tested {
			t.Errorf("no edit of %s is tried", row[1])
		}
	}
	for field, tc := range tests {
		t.Run(field, func(t *testing.T) {
			if !documented[field] {
				t.Error("docs/editing.md has no such row")
			}
			if got := drain.Decide(request(tc.pod), asked).Reason; got != tc.before {
				t.Errorf("before: %s, want %s", got, tc.before)
			}
			if got := drain.Decide(request(tc.pod, tc.change), asked).Reason; got != tc.after {
				t.Errorf("after: %s, want %s", got, tc.after)
			}
		})
	}
}
