//go:build lab

// Package e2e runs the guides, the documentation pages and what they promise on real clusters, which it makes and takes
// down. It needs root, and on the PATH what `make build` leaves in bin/; the images are those of `make images`.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/guide"
)

// lab is a set of clusters that lives as long as a test.
type lab struct {
	name string
	dir  string   // scratch copy of the release folder, as the guides' ISTIO
	env  []string // of every command
}

// repository is the root of the source tree.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newLab brings clusters up, loads the images, and takes everything down when the test ends.
func newLab(t *testing.T, name string, args ...string) *lab {
	t.Helper()
	l := &lab{name: name, dir: t.TempDir()}
	root := repository(t)
	for _, folder := range []string{"samples", "tools"} {
		if err := os.CopyFS(filepath.Join(l.dir, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	keepModes(t, filepath.Join(root, "samples"), filepath.Join(l.dir, "samples"))
	l.env = append(os.Environ(), "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	l.watch(t)
	t.Cleanup(func() { l.down(t) })
	l.must(t, "isthmus-lab", append([]string{"up", "--name", name}, args...)...)
	kubeconfig := filepath.Join(l.dir, "kubeconfig")
	text := l.must(t, "isthmus-lab", "kubeconfig", "--name", name)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.setVariables()
	images, err := filepath.Glob(filepath.Join(root, "dist", "images", "*.tar"))
	if err != nil || len(images) == 0 {
		t.Fatalf("no images: run make images (%v)", err)
	}
	l.must(t, "isthmus-lab", append([]string{"load-image", "--name", name}, images...)...)
	return l
}

// setVariables sets what guides take as given, and the kubeconfig of the lab's clusters.
func (l *lab) setVariables() {
	l.env = append(l.env, "KUBECONFIG="+filepath.Join(l.dir, "kubeconfig"), "ISTIO="+l.dir, "WORK_DIR="+l.dir, "MESH=mesh1", "NETWORK_1=network1",
		"CLUSTER_1=cluster1", "CLUSTER_2=cluster2", "CTX_1=cluster1", "CTX_2=cluster2",
		"CTX_CLUSTER1=cluster1", "CTX_CLUSTER2=cluster2")
}

// newDemo runs the demo, which brings clusters up and makes a mesh of them, and takes over what it leaves running.
func newDemo(t *testing.T, name string) *lab {
	t.Helper()
	root := repository(t)
	l := &lab{name: name, dir: filepath.Join(root, "dist", name)}
	l.env = append(os.Environ(), "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"), "DEMO_LAB="+name)
	l.watch(t)
	t.Cleanup(func() { l.down(t) })
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "tools", "demo.sh"))
	cmd.Env, cmd.Dir = l.env, root
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo: %v\n%s", err, out)
	}
	t.Logf("the demo took %.1f s", time.Since(start).Seconds())
	for _, want := range []string{"checks passed in 2 clusters", "export KUBECONFIG=" + filepath.Join(l.dir, "kubeconfig"), "isthmus lab down --name " + name} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
	l.setVariables()
	return l
}

// watch leaves a process behind that takes the lab down when this one has ended, however it ends: a test that was killed
// does not clean up.
func (l *lab) watch(t *testing.T) {
	t.Helper()
	const wait = `while kill -0 "$1" 2>/dev/null; do sleep 1; done; exec "$2" down --name "$3"`
	cmd := exec.Command("sh", "-c", wait, "sh", strconv.Itoa(os.Getpid()), l.find("isthmus-lab"), l.name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }() // it ends after this process, unless somebody ends it
}

// keepModes makes scripts executable again, which a copy of a file system is not.
func keepModes(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(to, strings.TrimPrefix(path, from)), info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lab) down(t *testing.T) {
	if t.Failed() {
		l.explain(t)
	}
	if out, err := l.run(context.Background(), "", "isthmus-lab", "down", "--name", l.name); err != nil {
		t.Errorf("lab down: %v\n%s", err, out)
	}
}

// explain logs what a person would look at first.
func (l *lab) explain(t *testing.T) {
	for _, c := range clusters {
		for _, args := range [][]string{
			{"get", "pods", "-A", "-o", "wide"},
			{"get", "events", "-A", "--field-selector=type=Warning"},
			{"logs", "-n", "istio-system", "deploy/istiod", "--tail=40"},
		} {
			out, _ := l.run(context.Background(), "", "kubectl", append([]string{"--context", c}, args...)...)
			t.Logf("%s: kubectl %s\n%s", c, strings.Join(args, " "), out)
		}
	}
}

// clusters are the contexts of the first two clusters.
var clusters = []string{"cluster1", "cluster2"}

// run runs a command and gives what it printed on both streams.
func (l *lab) run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, l.find(name), args...)
	cmd.Env, cmd.Dir = l.env, l.dir
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// find looks a program up as the commands of a page do: in bin/ first.
func (l *lab) find(name string) string {
	if path, err := filepath.Abs(filepath.Join("..", "bin", name)); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return name
}

// must runs a command that has to succeed, and gives its standard output.
func (l *lab) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	return l.mustWith(t, "", name, args...)
}

func (l *lab) mustWith(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.find(name), args...)
	cmd.Env, cmd.Dir = l.env, l.dir
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// mustJSON runs a command that has to succeed and reads what it prints.
func (l *lab) mustJSON(t *testing.T, into any, name string, args ...string) {
	t.Helper()
	out := l.must(t, name, args...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("%s %s: %v in\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (l *lab) kubectl(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	return l.must(t, "kubectl", append([]string{"--context", cluster}, args...)...)
}

// page runs the commands of a page, with their output shown in the test's log when they fail.
func (l *lab) page(t *testing.T, path string) {
	t.Helper()
	commands, err := guide.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(commands) == 0 {
		t.Fatalf("%s has no commands", path)
	}
	var out bytes.Buffer
	r := guide.Runner{Dir: l.dir, Env: l.env, Answer: "y", Out: &out, Settle: 2 * time.Minute}
	start := time.Now()
	if err := r.Run(t.Context(), commands); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(path), err, out.String())
	}
	t.Logf("%s: %d commands in %.1f s", filepath.Base(path), len(commands), time.Since(start).Seconds())
}

// trust hands each cluster an intermediate authority of one root, as guides take for granted.
func (l *lab) trust(t *testing.T) {
	t.Helper()
	for _, c := range clusters {
		l.must(t, "istioctl", "cert", "intermediate", c, "--dir", "certs")
		l.kubectl(t, c, "create", "namespace", "istio-system")
		args := []string{"create", "secret", "generic", "cacerts", "-n", "istio-system"}
		for _, file := range []string{"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"} {
			args = append(args, "--from-file="+filepath.Join("certs", c, file))
		}
		l.kubectl(t, c, args...)
	}
}

// samples runs helloworld v1 in the first cluster and v2 in the second, and sleep in both.
func (l *lab) samples(t *testing.T) {
	t.Helper()
	for i, c := range clusters {
		l.kubectl(t, c, "create", "namespace", "sample")
		l.kubectl(t, c, "label", "namespace", "sample", "istio-injection=enabled")
		l.kubectl(t, c, "apply", "-n", "sample", "-f", "samples/helloworld/helloworld.yaml", "-l", "service=helloworld")
		l.kubectl(t, c, "apply", "-n", "sample", "-f", "samples/helloworld/helloworld.yaml", "-l", fmt.Sprintf("version=v%d", i+1))
		l.kubectl(t, c, "apply", "-n", "sample", "-f", "samples/sleep/sleep.yaml")
	}
	for i, c := range clusters {
		l.rollout(t, c, fmt.Sprintf("deploy/helloworld-v%d", i+1))
		l.rollout(t, c, "deploy/sleep")
	}
}

func (l *lab) rollout(t *testing.T, cluster, workload string) {
	t.Helper()
	l.kubectl(t, cluster, "rollout", "status", "-n", "sample", workload, "--timeout=120s")
}

// answers calls helloworld from a cluster, one call after the other, and counts who answered. A call that fails is an error.
func (l *lab) answers(t *testing.T, cluster string, calls int) (map[string]int, error) {
	t.Helper()
	const script = `i=0; while [ $i -lt "$0" ]; do curl -sS -m 10 helloworld.sample:5000/hello || exit; i=$((i+1)); done`
	out, err := l.run(t.Context(), "", "kubectl", "--context", cluster, "exec", "-n", "sample", "deploy/sleep", "-c", "sleep", "--",
		"sh", "-c", script, strconv.Itoa(calls))
	if err != nil {
		return nil, fmt.Errorf("call helloworld from %s: %w\n%s", cluster, err, out)
	}
	got := map[string]int{}
	for line := range strings.Lines(out) {
		version, _, _ := strings.Cut(strings.TrimPrefix(line, "Hello version: "), ",")
		got[version]++
	}
	return got, nil
}

// bothVersions waits until both versions answer from both clusters.
func (l *lab) bothVersions(t *testing.T) {
	t.Helper()
	for _, c := range clusters {
		eventually(t, time.Minute, "both versions answer from "+c, func() error {
			got, err := l.answers(t, c, 10)
			if err == nil && (got["v1"] == 0 || got["v2"] == 0 || got["v1"]+got["v2"] != 10) {
				err = fmt.Errorf("answers: %v", got)
			}
			return err
		})
	}
}

// eventually repeats a check of something real, a cluster, until it holds.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(300 * time.Millisecond):
		}
	}
}
