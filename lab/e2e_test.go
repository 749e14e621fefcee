//go:build lab

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/image"
)

// The tests use labs of their own names, and the lab as users do: through its command.
const (
	flat  = "e2eflat"  // two clusters in one network
	apart = "e2eapart" // two clusters in two networks, of two nodes each
	short = "e2eshort" // never lives long
)

const echoImage = "lab.isthmus.io/e2e-echo:1"

var (
	program string // the lab's binary
	echoTar string
	kubectl string
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lab-e2e-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "isthmus-lab")
	echo := filepath.Join(dir, "echo")
	for out, pkg := range map[string]string{program: "./cmd/isthmus-lab", echo: "./internal/echo"} {
		build := exec.Command("go", "build", "-o", out, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			fmt.Printf("build %s: %v\n%s", pkg, err, text)
			return 1
		}
	}
	echoTar = filepath.Join(dir, "echo.tar")
	if err := image.Write(image.Image{Ref: echoImage, Program: echo}, echoTar); err != nil {
		fmt.Println(err)
		return 1
	}
	path, err := exec.Command(program, "build", "--print-path", "kubectl").Output()
	if err != nil {
		fmt.Println("build the lab's programs:", err)
		return 1
	}
	kubectl = strings.TrimSpace(string(path))
	defer func() {
		for _, name := range []string{flat, apart, short} {
			_ = exec.Command(program, "down", "--name", name).Run() // a test that failed may have left it
		}
	}()
	return m.Run()
}

// lab runs the lab's command, and fails the test if that fails.
func lab(t *testing.T, args ...string) string {
	t.Helper()
	start := time.Now()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("lab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	t.Logf("lab %s: %s", strings.Join(args, " "), time.Since(start).Round(100*time.Millisecond))
	return string(out)
}

// in is one cluster of a lab.
type in struct{ lab, cluster string }

// try runs kubectl in the cluster, with stdin as input.
func (c in) try(stdin string, args ...string) (string, error) {
	cmd := exec.Command(kubectl, append([]string{"--context", c.cluster}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG=/var/lib/isthmus/lab/"+c.lab+"/kubeconfig")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (c in) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.try("", args...)
	if err != nil {
		t.Fatalf("%s %s: kubectl %s: %v\n%s", c.lab, c.cluster, strings.Join(args, " "), err, out)
	}
	return out
}

func (c in) apply(t *testing.T, manifest string) {
	t.Helper()
	if out, err := c.try(manifest, "apply", "-f", "-"); err != nil {
		t.Fatalf("%s %s: apply: %v\n%s", c.lab, c.cluster, err, out)
	}
}

func (c in) get(t *testing.T, kind, name, path string) string {
	t.Helper()
	return c.kubectl(t, "get", kind, name, "-o", "jsonpath={"+path+"}")
}

// fromPod runs the echo client in the cluster's client pod.
func (c in) fromPod(args ...string) (string, error) {
	return c.try("", append([]string{"exec", "client", "-c", "echo", "--", "/echo"}, args...)...)
}

// until calls f until it returns no error, for a minute at most.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// want returns an error unless the call answered want.
func want(want string) func(got string, err error) error {
	return func(got string, err error) error {
		if err == nil && got == want {
			return nil
		}
		return fmt.Errorf("got %q, %w; want %q", got, orNone(err), want)
	}
}

func orNone(err error) error {
	if err == nil {
		return fmt.Errorf("no error")
	}
	return err
}

func fromHost(url string) (string, error) {
	client := http.Client{Timeout: 3 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(body)), err
}

// deploy runs a server, a client and a LoadBalancer Service in the cluster. On the last node of a cluster, so that with two nodes the
// way between them is part of every test.
func (c in) deploy(t *testing.T, nodes int) {
	t.Helper()
	c.apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  nodeName: %[1]s-node%[3]d
  containers: [{name: echo, image: %[2]q, imagePullPolicy: IfNotPresent, args: [serve, %[1]s]}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  # A sidecar as Kubernetes knows it: it has to be up before the others start.
  initContainers: [{name: sidecar, image: %[2]q, restartPolicy: Always, args: [serve, sidecar]}]
  containers: [{name: echo, image: %[2]q, args: [wait]}]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {type: LoadBalancer, selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
`, c.cluster, echoImage, nodes))
}

func (c in) address(t *testing.T, service string) string {
	t.Helper()
	var address string
	until(t, c.cluster+": address of Service "+service, func() error {
		if address = c.get(t, "service", service, ".status.loadBalancer.ingress[0].ip"); address == "" {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	return address
}

func (c in) podIP(t *testing.T, pod string) string {
	t.Helper()
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/"+pod, "--timeout=60s")
	return c.get(t, "pod", pod, ".status.podIP")
}

type statusReport struct {
	Clusters []struct {
		Name, Network string
		Ready         bool
		Nodes         []struct{ Name, Zone string }
	}
	MemoryMiB int
}

func status(t *testing.T, name string) statusReport {
	t.Helper()
	var report statusReport
	if err := json.Unmarshal([]byte(lab(t, "status", "--name", name, "-o", "json")), &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// kill sends the signal to a lab command that runs.
func kill(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}
