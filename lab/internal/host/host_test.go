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
		if n.what == "" || n.deb == "" || n.rpm == "" {
			t.Errorf("%+v: wants words and packages", n)
		}
	}
	hint := installHint([]Need{{deb: "nftables", rpm: "nftables"}}, "isthmus lab")
	if debian() && hint != "isthmus lab install-packages" || !debian() && !strings.Contains(hint, "nftables") {
		t.Errorf("hint: %s", hint)
	}
}
