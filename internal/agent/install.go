package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// binaryMode lets every user of a pod run the agent, and nobody change it.
const binaryMode = 0o555

// Install copies this binary to target. A reader sees all of it or none.
func Install(target string) (err error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	defer func() { _ = self.Close() }() // only read from
	temporary, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+"-*")
	if err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	if err := fill(temporary, self); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	if err := os.Rename(temporary.Name(), target); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	return nil
}

func fill(to, from *os.File) error {
	_, err := io.Copy(to, from)
	return errors.Join(err, to.Chmod(binaryMode), to.Close())
}
