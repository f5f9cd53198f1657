package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/drain-operator/drain-operator/hack/image"
)

// keptFor is how long an archive is kept that is not asked for any more.
const keptFor = 24 * time.Hour

// kept is where the finished archive of an image is kept that follows from the
// packages in the cache alone; empty for others. The name follows from what is
// asked for, and from this program.
func kept(cacheDir string, o options, s image.Spec) (string, error) {
	if s.Debian == nil || len(s.Binaries) > 0 {
		return "", nil
	}
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	code, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	distribution, _ := os.ReadFile("/etc/os-release")
	asked, err := json.Marshal([]any{s, o.platforms, o.repository, o.tag, sha256.Sum256(code), distribution})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(asked)
	return filepath.Join(cacheDir, "images", s.Name+"-"+hex.EncodeToString(sum[:8])+".tar"), nil
}

// restore copies a kept archive to path; false where there is none.
func restore(from, path string) (image.Ref, bool) {
	refs, err := image.ReadArchive(from)
	if err != nil || len(refs) != 1 || copyFile(from, path) != nil {
		return image.Ref{}, false
	}
	now := time.Now()
	_ = os.Chtimes(from, now, now)
	return refs[0], true
}

// keep copies a finished archive, and forgets old ones of the same image.
func keep(path, to string, s image.Spec) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	others, err := filepath.Glob(filepath.Join(filepath.Dir(to), s.Name+"-*.tar"))
	if err != nil {
		return err
	}
	for _, other := range others {
		if info, err := os.Stat(other); err == nil && time.Since(info.ModTime()) > keptFor {
			_ = os.Remove(other)
		}
	}
	return copyFile(path, to)
}

// copyFile copies all of a file, or nothing.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(to), ".copy-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Chmod(0o644), out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return os.Rename(out.Name(), to)
}
