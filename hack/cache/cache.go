// Package cache says where what is built or downloaded once is kept.
package cache

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is $DRAIN_OPERATOR_CACHE, or drain-operator in the user's cache folder.
func Dir() (string, error) {
	if dir := os.Getenv("DRAIN_OPERATOR_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("cache folder (set DRAIN_OPERATOR_CACHE): %w", err)
	}
	return filepath.Join(home, ".cache", "drain-operator"), nil
}
