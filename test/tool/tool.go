// Package tool finds the tools that hack/chart pins.
package tool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Path of a tool: what $HELM, $KUSTOMIZE and the like name, as make sets them,
// or one that is built now.
func Path(ctx context.Context, name string) (string, error) {
	if path := os.Getenv(strings.ToUpper(name)); path != "" {
		return path, nil
	}
	_, here, _, _ := runtime.Caller(0)
	module := filepath.Join(filepath.Dir(here), "..", "..", "hack", "chart")
	output, err := exec.CommandContext(ctx, "go", "tool", "-C", module, "-n", name).Output()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return strings.TrimSpace(string(output)), nil
}
