// Package envoytest runs the real Envoy in tests: it finds the binary, lets it judge a configuration, and starts
// it on loopback. Only tests import it. It never stands in for Envoy: without the binary a test fails.
package envoytest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// startTimeout bounds how long an Envoy may take to answer on its admin port; generous for a machine under load.
const startTimeout = 60 * time.Second

var fetch = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("ENVOY_BIN"); path != "" {
		return path, nil
	}
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "tools", "envoy", "fetch.sh")
	cmd := exec.Command(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetch Envoy: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
})

// Binary is the path of the Envoy binary: ENVOY_BIN, else what tools/envoy/fetch.sh puts into the cache.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := fetch()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Check lets Envoy read a bootstrap without starting it, and returns what it finds wrong. Beware that this mode takes
// any file that xDS is read from by path; what it should judge must stand in the bootstrap itself.
func Check(t testing.TB, bootstrap *bootstrapv3.Bootstrap) error {
	t.Helper()
	cmd := exec.Command(Binary(t), "--mode", "validate", "-c", write(t, bootstrap), "-l", "warning")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("envoy --mode validate: %w\n%s", err, out)
	}
	return nil
}

// Validate fails the test if Envoy does not take the bootstrap.
func Validate(t testing.TB, bootstrap *bootstrapv3.Bootstrap) {
	t.Helper()
	if err := Check(t, bootstrap); err != nil {
		t.Fatal(err)
	}
}

// Envoy is one running proxy; it ends with the test that started it.
type Envoy struct {
	Admin string // host:port of the admin interface

	logs *logBuffer
	done chan struct{} // closed when the process has ended
}

// Start runs Envoy with a bootstrap and waits until its admin interface answers. The admin interface is moved to a
// free loopback port; nothing else of the bootstrap is changed. Envoy is stopped when the test ends, and its log printed
// if the test failed.
func Start(t testing.TB, bootstrap *bootstrapv3.Bootstrap, args ...string) *Envoy {
	t.Helper()
	dir := t.TempDir()
	adminFile := filepath.Join(dir, "admin")
	b := proto.CloneOf(bootstrap)
	b.Admin = loopbackAdmin()
	e := &Envoy{logs: &logBuffer{}, done: make(chan struct{})}
	cmd := exec.Command(Binary(t), append([]string{
		"-c", write(t, b), "--admin-address-path", adminFile,
		"--use-dynamic-base-id", "--concurrency", "1", "--drain-time-s", "1",
	}, args...)...)
	cmd.Stdout, cmd.Stderr = e.logs, e.logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Envoy: %v", err)
	}
	go func() {
		_ = cmd.Wait() // a killed Envoy is no news; the test judges by the log
		close(e.done)
	}()
	t.Cleanup(func() { e.stop(t, cmd.Process) })
	e.Admin = e.awaitAdmin(t, adminFile)
	return e
}

func (e *Envoy) stop(t testing.TB, p *os.Process) {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-e.done:
	case <-time.After(10 * time.Second):
		_ = p.Kill()
		<-e.done
	}
	if t.Failed() {
		t.Logf("Envoy's log:\n%s", e.Logs())
	}
}

// awaitAdmin reads the address that Envoy writes once it listens.
func (e *Envoy) awaitAdmin(t testing.TB, file string) string {
	t.Helper()
	var address string
	e.Await(t, "the admin interface answers", func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		address = strings.TrimSpace(string(text))
		_, err = get("http://" + address + "/server_info")
		return err
	})
	return address
}

// Await polls until check returns nil. It fails the test after a minute, or at once if Envoy has ended.
func (e *Envoy) Await(t testing.TB, what string, check func() error) {
	t.Helper()
	timeout := time.After(startTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-e.done:
			t.Fatalf("Envoy ended before %s; its log:\n%s", what, e.Logs())
		case <-timeout:
			t.Fatalf("waited %s until %s: %v", startTimeout, what, err)
		case <-tick.C:
		}
	}
}

// AwaitLive polls until Envoy says that it serves: every listener and upstream it waits for has arrived.
func (e *Envoy) AwaitLive(t testing.TB) {
	t.Helper()
	e.Await(t, "Envoy is live", func() error {
		_, err := get("http://" + e.Admin + "/ready")
		return err
	})
}

// Get reads a path of the admin interface, such as /config_dump or /stats?format=prometheus.
func (e *Envoy) Get(t testing.TB, path string) string {
	t.Helper()
	body, err := get("http://" + e.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Logs is what Envoy has written so far.
func (e *Envoy) Logs() string { return e.logs.String() }

func get(url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s: %s", url, res.Status, body)
	}
	return string(body), nil
}

func write(t testing.TB, bootstrap *bootstrapv3.Bootstrap) string {
	t.Helper()
	text, err := protojson.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
