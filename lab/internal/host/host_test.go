package host

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFullDiskIsNamedWithTheFix(t *testing.T) {
	t.Parallel()
	// The folder is not there yet: what counts is the disk that it will be on.
	dir := filepath.Join(t.TempDir(), "not", "there")
	if err := This().CheckSpace(dir, 1, "move"); err != nil {
		t.Errorf("a byte: %v", err)
	}
	if err := This().CheckSpace(dir, math.MaxUint64, "set X to another disk"); err == nil || !strings.Contains(err.Error(), "set X to another disk") {
		t.Errorf("more than any disk has: got %v", err)
	}
}

func TestWhatIsMissingIsNamedByItsPackage(t *testing.T) {
	t.Parallel()
	if noProgram("sh")() {
		t.Error("sh was not found")
	}
	if !noProgram("no-such-program")() || !noFile("/no/such/file")() {
		t.Error("what is not there was found")
	}
	for _, n := range Needs() {
		if n.what == "" || len(n.packages) != len(installers) {
			t.Errorf("%+v: wants words and packages", n)
		}
	}
	lacking := []Need{{packages: packages("libc6-dev", "glibc-devel", "glibc-devel", "glibc")}, {packages: packages("gcc", "gcc", "gcc", "gcc")}}
	for installer, want := range map[string]string{
		installers[0]: "isthmus lab install-packages",
		installers[1]: "dnf install -y glibc-devel gcc",
		installers[2]: "zypper install -y glibc-devel gcc",
		installers[3]: "pacman -S --needed glibc gcc",
		"":            "install with this system's package manager: glibc-devel gcc",
	} {
		if got := installHint(lacking, installer, "isthmus lab"); got != want {
			t.Errorf("%s: got %q, want %q", installer, got, want)
		}
	}
}
