package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makeIn runs the repository's Makefile in another folder, with dir first on the PATH, and gives what it prints.
func makeIn(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	makefile, err := filepath.Abs("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"--no-print-directory", "-f", makefile}, args...)...)
	cmd.Dir = dir
	// What a make above this test was called with is not for this one.
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "MAKEFLAGS=", "MAKEOVERRIDES=", "GUIDES=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func file(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGuidesAreFoundFromEveryFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file(t, dir, "show.mk", "show:\n\t@cd / && echo \"guides: $$GUIDES.\"\n")
	for value, want := range map[string]string{"some/guides": dir + "/some/guides", "/guides": "/guides", "": ""} {
		out, err := makeIn(t, dir, "-f", "show.mk", "show", "GUIDES="+value)
		if err != nil || !strings.HasSuffix(out, "guides: "+want+".\n") {
			t.Errorf("GUIDES=%s: %v\n%s", value, err, out)
		}
	}
	if out, err := makeIn(t, dir, "check-guides", "GUIDES=nowhere"); err == nil || !strings.Contains(out, "GUIDES="+dir+"/nowhere is no folder") {
		t.Errorf("guides that are not there: %v\n%s", err, out)
	}
}

func TestWhatTakesRootSaysSoAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program(t, dir, "id", "echo 1000")
	for _, target := range []string{"demo", "packages", "test", "test-lab", "test-lab-alone"} {
		out, err := makeIn(t, dir, target, "VERSION=9")
		if err == nil || !strings.Contains(out, `sudo env "PATH=$PATH" make VERSION=9 `+target+"\n") || strings.Contains(out, "go ") {
			t.Errorf("%s: %v\n%s", target, err, out)
		}
	}
}

// A ring that runs twice costs minutes, one that does not run costs more.
func TestEveryRingRunsOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file(t, dir, "e2e/a_test.go", "//go:build lab\n\npackage e2e\n")
	// Makes below make, which run also where only commands are shown.
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	file(t, dir, "Makefile", string(text))
	file(t, dir, "tools/README.md", "")
	program(t, filepath.Join(dir, "tools"), "ring.sh", "")
	for target, short := range map[string]bool{"test": true, "test-all": false} {
		out, err := makeIn(t, dir, "-n", target)
		if err != nil {
			t.Fatalf("%s: %v\n%s", target, err, out)
		}
		for _, ring := range []string{"lint", "ring 1, unit", "ring 2, golden", "ring 3, in process", "ring 4, lab", "ring 4, the lab itself"} {
			if got := strings.Count(out, `tools/ring.sh "`+ring+`" `); got != 1 {
				t.Errorf("%s runs %s %d times", target, ring, got)
			}
		}
		want := map[bool]int{true: 2, false: 0}[short]
		if got := strings.Count(out, "-tags lab -short "); got != want {
			t.Errorf("%s: %d rings on clusters are short, want %d, in\n%s", target, got, want, out)
		}
	}
}

func TestTheBenchDoesNotRunWithoutItsPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file(t, dir, "bin/README.md", "")
	file(t, dir, "lab/README.md", "")
	program(t, filepath.Join(dir, "bin"), "isthmus-lab", "echo no compiler >&2; exit 1")
	program(t, dir, "go", `[ "$1" != run ] || echo the bench runs`)
	out, err := makeIn(t, dir, "bench")
	if err == nil || !strings.Contains(out, "no compiler") || strings.Contains(out, "the bench runs") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Such as those of a release's archive.
func TestRingsAreCompleteWithoutTheHistory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file(t, dir, "internal/some/a_test.go", "//go:build apiserver\n\npackage some\n")
	file(t, dir, "real/a_test.go", "//go:build lab\n\npackage real\n")
	file(t, dir, "lab/a_test.go", "//go:build lab\n\npackage lab\n")
	for target, want := range map[string]string{"test-mesh": "./internal/meshtest/... ./internal/some/", "test-lab": "-v ./real/"} {
		out, err := makeIn(t, dir, "-n", target)
		if err != nil || !strings.Contains(out, want+"\n") {
			t.Errorf("%s: %v, no %q in\n%s", target, err, want, out)
		}
	}
}
