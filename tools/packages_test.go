package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packages runs tools/packages.sh on a machine of the kind that has these programs and nothing else, where the lab lacks two packages.
func packages(t *testing.T, machine, programs string, args ...string) (string, error) {
	t.Helper()
	root := t.TempDir()
	script, err := os.ReadFile("packages.sh")
	if err != nil {
		t.Fatal(err)
	}
	file(t, root, "tools/packages.sh", string(script))
	file(t, root, "bin/README", "")
	bin := filepath.Join(root, "bin")
	program(t, bin, "uname", "echo "+machine)
	program(t, bin, "isthmus-lab", `[ "$*" = "install-packages --missing" ] && echo nftables && echo gcc`)
	program(t, bin, "ldd", "echo 'libc.so.6 => /lib/libc.so.6'")
	for _, name := range strings.Fields(programs) {
		program(t, bin, name, `[ "$1" = update ] || echo "$0 runs $*"`)
	}
	for _, name := range []string{"dirname", "grep", "sh"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{filepath.Join(root, "tools", "packages.sh")}, args...)...)
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestOneCommandInstallsAllThatIsMissing(t *testing.T) {
	t.Parallel()
	cases := []struct{ programs, want string }{
		{"apt-get", "/apt-get runs install -y -qq --no-install-recommends nftables gcc curl python3-pip\n"},
		{"apt-get dnf curl", "/apt-get runs install -y -qq --no-install-recommends nftables gcc python3-pip\n"},
		{"dnf", "  dnf install -y nftables gcc curl python3-pip busybox\n"},
		{"dnf python3 curl", "  dnf install -y nftables gcc busybox\n"},
		{"zypper", "  zypper install -y nftables gcc curl python3-pip busybox-static\n"},
		{"pacman", "  pacman -S --needed nftables gcc curl python-pip busybox\n"},
		{"", "  install with this system's package manager: nftables gcc curl python3-pip busybox-static\n"},
	}
	for _, c := range cases {
		out, err := packages(t, "x86_64", c.programs)
		if !strings.HasSuffix(out, c.want) || (err == nil) != strings.HasPrefix(c.programs, "apt-get") {
			t.Errorf("with %q: %v, want %q at the end of\n%s", c.programs, err, c.want, out)
		}
	}
}

func TestAMachineWithoutAnEnvoyIsNamedFirst(t *testing.T) {
	t.Parallel()
	if out, err := packages(t, "aarch64", "apt-get"); err == nil || !strings.Contains(out, "aarch64") || strings.Contains(out, "runs") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := packages(t, "x86_64", "apt-get", "--check"); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
}
