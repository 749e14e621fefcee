// Package host checks, before anything is made, that this machine can carry a lab: what is missing is said with the command that helps.
// It installs packages when asked to, and only then.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
)

// need is a host program or file that a lab needs, and the Debian and Fedora packages that have it.
type need struct {
	what   string
	deb    string
	rpm    string
	absent func() bool
}

func needs() []need {
	return []need{
		{"the program nft (kube-proxy runs it)", "nftables", "nftables", noProgram("nft")},
		{"a C compiler (runc is built with it)", "gcc", "gcc", noProgram("gcc")},
		{"the C library's headers", "libc6-dev", "glibc-devel", noFile("/usr/include/stdlib.h")},
		{"the program pkg-config", "pkg-config", "pkgconf-pkg-config", noProgram("pkg-config")},
		{"the headers of libseccomp", "libseccomp-dev", "libseccomp-devel", noFile("/usr/include/seccomp.h")},
	}
}

// noProgram also looks where administrators' programs are: they are not on everyone's PATH.
func noProgram(name string) func() bool {
	return func() bool {
		if _, err := exec.LookPath(name); err == nil {
			return false
		}
		return noFile(filepath.Join("/usr/sbin", name))() && noFile(filepath.Join("/sbin", name))()
	}
}

func noFile(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err != nil
	}
}

func missing() []need {
	var found []need
	for _, n := range needs() {
		if n.absent() {
			found = append(found, n)
		}
	}
	return found
}

// Space that a lab needs, in bytes: its own, and that of the cache before the binaries are built.
const (
	LabSpace   = 2 << 30
	BuildSpace = 6 << 30
)

// CheckRoot returns an error unless the process may do what a lab does.
func CheckRoot(command string) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a lab runs on Linux only; on %s, use clusters of your own", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("a lab makes network namespaces and control groups, which takes root: run `sudo -E %s`", command)
	}
	return nil
}

// Check returns an error that names everything that this machine lacks, each with what helps. labCommand is what users type.
func Check(labCommand string) error {
	var problems []error
	if lacking := missing(); len(lacking) > 0 {
		var whats []string
		for _, n := range lacking {
			whats = append(whats, n.what)
		}
		problems = append(problems, fmt.Errorf("missing on this machine: %s; to install: `%s`", strings.Join(whats, ", "),
			installHint(lacking, labCommand)))
	}
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		problems = append(problems, err)
	} else if lacking := cgroup.Missing(hierarchies); len(lacking) > 0 {
		problems = append(problems, fmt.Errorf("the control group controllers %s are not available: mount them below /sys/fs/cgroup, "+
			"or boot with cgroup_enable=%s on the kernel's command line", strings.Join(lacking, ", "), strings.Join(lacking, ",")))
	}
	return errors.Join(problems...)
}

// CheckSpace returns an error unless dir, or the nearest folder above it that is there, has that many bytes free.
func CheckSpace(dir string, need uint64, fix string) error {
	for at := dir; ; at = filepath.Dir(at) {
		var stat unix.Statfs_t
		err := unix.Statfs(at, &stat)
		if errors.Is(err, unix.ENOENT) && at != "/" {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for space in %s: %w", at, err)
		}
		if free := stat.Bavail * uint64(stat.Bsize); free < need {
			return fmt.Errorf("%s has %d MiB free, %d MiB are needed: make room, or %s", at, free>>20, need>>20, fix)
		}
		return nil
	}
}

func debian() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil
}

// installHint is the one command that installs what is lacking.
func installHint(lacking []need, labCommand string) string {
	if debian() {
		return labCommand + " install-packages"
	}
	var rpms []string
	for _, n := range lacking {
		rpms = append(rpms, n.rpm)
	}
	if _, err := exec.LookPath("dnf"); err == nil {
		return "dnf install -y " + strings.Join(rpms, " ")
	}
	return "install with this system's package manager: " + strings.Join(rpms, " ")
}

// InstallPackages installs what is missing, on Debian and its relatives; elsewhere its error is the command to run.
func InstallPackages(ctx context.Context, out io.Writer) error {
	lacking := missing()
	if len(lacking) == 0 {
		fmt.Fprintln(out, "nothing is missing")
		return nil
	}
	if !debian() {
		return fmt.Errorf("this is no Debian; run: %s", installHint(lacking, ""))
	}
	install := []string{"install", "--yes", "--no-install-recommends"}
	for _, n := range lacking {
		install = append(install, n.deb)
	}
	for _, args := range [][]string{{"update"}, install} {
		fmt.Fprintf(out, "apt-get %s\n", strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	if lacking := missing(); len(lacking) > 0 {
		return fmt.Errorf("still missing after the installation: %s", lacking[0].what)
	}
	return nil
}
