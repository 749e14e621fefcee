// Package tools holds no code: its tests run the scripts beside it, with stand-ins for the programs that these call.
package tools

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// program puts a shell script under the name into the folder.
func program(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// demo is the demo's script in a folder of its own. A lab is a file there, and the page works in a new lab only.
type demo struct{ root, lab string }

func newDemo(t *testing.T) demo {
	t.Helper()
	d := demo{root: t.TempDir()}
	d.lab = filepath.Join(d.root, "lab-demo")
	script, err := os.ReadFile("demo.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"tools", "bin"} {
		if err := os.Mkdir(filepath.Join(d.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(d.root, "tools", "demo.sh"), script, 0o700); err != nil {
		t.Fatal(err)
	}
	program(t, filepath.Join(d.root, "bin"), "isthmus", `[ "$1" = lab ] || exit 2
case $2 in up) : >>"$ROOT/lab-$4" ;; down) rm -f "$ROOT/lab-$4" ;; esac`)
	program(t, filepath.Join(d.root, "bin"), "go", `[ ! -s "$ROOT/lab-demo" ] || { echo "the namespace is there already" >&2; exit 1; }
echo namespace >"$ROOT/lab-demo"
echo "the page runs"
exec $PAGE`)
	return d
}

// command runs the demo; page is what the page does once it has begun.
func (d demo) command(t *testing.T, page string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), filepath.Join(d.root, "tools", "demo.sh"))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(d.root, "bin")+":"+os.Getenv("PATH"), "ROOT="+d.root, "PAGE="+page, "DEMO_LAB=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func TestADemoAfterADemoBeginsAnew(t *testing.T) {
	t.Parallel()
	d := newDemo(t)
	for range 2 {
		if out, err := d.command(t, "true").CombinedOutput(); err != nil || !strings.Contains(string(out), "isthmus lab down --name demo") {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if _, err := os.Stat(d.lab); err != nil {
		t.Error("the demo does not run on:", err)
	}
}

func TestAnInterruptedDemoIsTakenDown(t *testing.T) {
	t.Parallel()
	d := newDemo(t)
	cmd := d.command(t, "sleep 60")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() != "the page runs" {
			continue
		}
		// As a terminal does: to the script and all that it runs.
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("%v, want exit code 130", err)
	}
	if _, err := os.Stat(d.lab); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a demo is left: %v", err)
	}
}

func TestAFailedDemoStaysForALook(t *testing.T) {
	t.Parallel()
	d := newDemo(t)
	out, err := d.command(t, "false").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "take it down:\n\n  "+d.root+"/bin/isthmus lab down --name demo") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(d.lab); err != nil {
		t.Error(err)
	}
}
