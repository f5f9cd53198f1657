package framework

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// An API server that is too slow to start is not left behind.
func TestStartLeavesNothingWhenItFails(t *testing.T) {
	_, err := Start(t.Context(), func(control *envtest.Environment) { control.ControlPlaneStartTimeout = time.Millisecond })
	if err == nil || !strings.Contains(err.Error(), "starting an API server") {
		t.Fatalf("started within a millisecond, or not even tried: %v", err)
	}
	if left := children(t); left != "" {
		t.Errorf("left behind: processes %s", left)
	}
}

// children are the processes that this one has started, and that have not ended.
func children(t *testing.T) string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no list of children: %v", err)
	}
	var all strings.Builder
	for _, list := range lists {
		pids, err := os.ReadFile(list)
		if err != nil && !os.IsNotExist(err) { // a thread may have ended
			t.Fatal(err)
		}
		all.Write(pids)
	}
	return strings.TrimSpace(all.String())
}
