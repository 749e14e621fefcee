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

// Need is a host program or file that a lab needs, and the packages that have it.
type Need struct {
	what     string
	packages map[string]string // by the program that installs them
	absent   func() bool
}

// Needs are all host programs and files that a lab needs.
func Needs() []Need {
	return []Need{
		{"the program nft (kube-proxy runs it)", packages("nftables", "nftables", "nftables", "nftables"), noProgram("nft")},
		{"a C compiler (runc is built with it)", packages("gcc", "gcc", "gcc", "gcc"), noProgram("gcc")},
		{"the C library's headers", packages("libc6-dev", "glibc-devel", "glibc-devel", "glibc"), noFile("/usr/include/stdlib.h")},
		{"the program pkg-config", packages("pkg-config", "pkgconf-pkg-config", "pkg-config", "pkgconf"), noProgram("pkg-config")},
		{
			"the headers of libseccomp", packages("libseccomp-dev", "libseccomp-devel", "libseccomp-devel", "libseccomp"),
			noFile("/usr/include/seccomp.h"),
		},
	}
}

// installers are the commands that install packages on the distributions that are known; the first one that is there counts.
var installers = []string{"apt-get install -y", "dnf install -y", "zypper install -y", "pacman -S --needed"}

// packages are names in the order of installers.
func packages(names ...string) map[string]string {
	byProgram := map[string]string{}
	for i, name := range names {
		byProgram[strings.Fields(installers[i])[0]] = name
	}
	return byProgram
}

// installer returns the command that installs packages on this machine, empty if it is not known.
func installer() string {
	for _, command := range installers {
		if _, err := exec.LookPath(strings.Fields(command)[0]); err == nil {
			return command
		}
	}
	return ""
}

// names are the packages' names for the installer. Most distributions call them as Fedora does.
func names(lacking []Need, installer string) []string {
	program := "dnf"
	if installer != "" {
		program = strings.Fields(installer)[0]
	}
	var found []string
	for _, n := range lacking {
		found = append(found, n.packages[program])
	}
	return found
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
			installHint(lacking, installer(), labCommand)))
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

// installHint is the one command that installs what is lacking.
func installHint(lacking []Need, installer, labCommand string) string {
	list := strings.Join(names(lacking, installer), " ")
	switch {
	case installer == "":
		return "install with this system's package manager: " + list
	case debian(installer):
		return labCommand + " install-packages"
	default:
		return installer + " " + list
	}
}

func debian(installer string) bool { return strings.HasPrefix(installer, "apt-get ") }

// MissingPackages are the names of what is missing, as this machine's distribution calls it.
func MissingPackages() []string { return names(missing(), installer()) }

// InstallPackages installs what is missing, on Debian and its relatives; elsewhere its error is the command to run.
func InstallPackages(ctx context.Context, out io.Writer) error {
	lacking := missing()
	if len(lacking) == 0 {
		fmt.Fprintln(out, "nothing is missing")
		return nil
	}
	if command := installer(); !debian(command) {
		return fmt.Errorf("this is no Debian; run: %s", installHint(lacking, command, ""))
	}
	install := append([]string{"install", "--yes", "--no-install-recommends"}, names(lacking, installer())...)
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
