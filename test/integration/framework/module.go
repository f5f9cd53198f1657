package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// ModuleDir is the folder of a Go module that a module of ours under hack/ pins,
// in the module cache: downloaded if need be.
func ModuleDir(ctx context.Context, pinnedIn, path string) (string, error) {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	download.Dir = File(pinnedIn)
	output, err := download.Output()
	if err != nil {
		return "", fmt.Errorf("downloading the module %s: %w\n%s", path, err, output)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(output, &module); err != nil {
		return "", fmt.Errorf("downloading the module %s: %w", path, err)
	}
	return module.Dir, nil
}
