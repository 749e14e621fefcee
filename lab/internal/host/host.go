// Package host checks, before anything is made, that this machine can carry a lab: what is missing is said with the command that helps.
// It installs packages when asked to, and only then.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/hostnet"
)

// Need is a host program or file that a lab needs, and the Debian and Fedora packages that have it.
type Need struct {
	what   string
	deb    string
	rpm    string
	absent func() bool
}

// Needs are all host programs and files that a lab needs.
func Needs() []Need {
	return []Need{
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

func missing() []Need {
	var found []Need
	for _, n := range Needs() {
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

// Machine is where the checks look. Tests show them another than this one.
type Machine struct {
	UID         int
	Lacks       func() []Need
	Hierarchies func() ([]cgroup.Hierarchy, error)
	Routes      func() ([]hostnet.Route, error)
	Free        func(dir string) (bytes uint64, err error) // wraps fs.ErrNotExist when there is no such folder
}

// This is the machine that the process runs on.
func This() Machine {
	return Machine{UID: os.Geteuid(), Lacks: missing, Hierarchies: cgroup.Hierarchies, Routes: hostnet.Routes, Free: free}
}

func free(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("look for space in %s: %w", dir, err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}

// CheckRoot returns an error unless the process may do what a lab does. asRoot is its command with root's rights.
func (m Machine) CheckRoot(asRoot string) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a lab runs on Linux only; on %s, use clusters of your own", runtime.GOOS)
	}
	if m.UID != 0 {
		return fmt.Errorf("a lab makes network namespaces and control groups, which takes root: run `%s`", asRoot)
	}
	return nil
}

// Check returns an error that names everything that this machine lacks, each with what helps. labCommand is what users type.
func (m Machine) Check(labCommand string) error {
	var problems []error
	if lacking := m.Lacks(); len(lacking) > 0 {
		var whats []string
		for _, n := range lacking {
			whats = append(whats, n.what)
		}
		problems = append(problems, fmt.Errorf("missing on this machine: %s; to install: `%s`", strings.Join(whats, ", "),
			installHint(lacking, labCommand)))
	}
	hierarchies, err := m.Hierarchies()
	if err != nil {
		problems = append(problems, err)
	} else if lacking := cgroup.Missing(hierarchies); len(lacking) > 0 {
		problems = append(problems, fmt.Errorf("the control group controllers %s are not available: mount them below /sys/fs/cgroup, "+
			"or boot with cgroup_enable=%s on the kernel's command line", strings.Join(lacking, ", "), strings.Join(lacking, ",")))
	}
	return errors.Join(problems...)
}

// CheckSpace returns an error unless dir, or the nearest folder above it that is there, has that many bytes free.
func (m Machine) CheckSpace(dir string, need uint64, fix string) error {
	for at := dir; ; at = filepath.Dir(at) {
		free, err := m.Free(at)
		if errors.Is(err, fs.ErrNotExist) && at != "/" {
			continue
		}
		if err != nil {
			return err
		}
		if free < need {
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
func installHint(lacking []Need, labCommand string) string {
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
