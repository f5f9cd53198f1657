package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianPackages are what the node needs besides what we build: the package, and
// the program by which it is known to be there, from whichever source.
var debianPackages = []struct{ name, program string }{
	{"runc", "runc"},
	{"containernetworking-plugins", "/usr/lib/cni/ptp"},
	{"nftables", "nft"},
	{"conntrack", "conntrack"},
	{"iproute2", "ip"},
}

var systemPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

func missingPackages() []string {
	var missing []string
	for _, p := range debianPackages {
		if !installed(p.program) {
			missing = append(missing, p.name)
		}
	}
	return missing
}

func installed(program string) bool {
	for _, dir := range systemPath {
		path := program
		if !filepath.IsAbs(program) {
			path = filepath.Join(dir, program)
		}
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// installPackages installs what is missing. Only Debian and its kin are known.
func installPackages(ctx context.Context, p *progress) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing on this machine: %s; there is no apt-get here, install them by hand", names)
	}
	p.step("installing %s…", names)
	install := append([]string{"install", "--yes", "--no-install-recommends", "--option=DPkg::Lock::Timeout=120"}, missing...)
	for _, args := range [][]string{{"update"}, install} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s (install %s by hand): %w\n%s", args[0], names, err, tail(output.Bytes(), 20))
		}
	}
	return nil
}
