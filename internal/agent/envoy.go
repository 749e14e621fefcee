package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/bootstrap"
)

// envoy is the child process.
type envoy struct {
	process *os.Process
	done    chan struct{} // closed when it has ended
	err     error         // why; to be read after done
}

// endTimeout is how long Envoy may take to end after it was asked to.
const endTimeout = 5 * time.Second

// runEnvoy starts Envoy and returns when it has ended: by itself, which is an error, or because ctx ended or somebody asked,
// which is none. It ends Envoy as well when services end, as one of them has failed then.
func (a *agent) runEnvoy(ctx, services context.Context) error {
	if err := a.writeBootstrap(); err != nil {
		return err
	}
	e, err := startEnvoy(a.o.Envoy, a.envoyArgs(), a.o.EnvoyOutput)
	if err != nil {
		return err
	}
	a.pid.Store(int64(e.process.Pid))
	a.o.Log.Info("Envoy started", "pid", e.process.Pid, "id", a.facts.NodeID(), "control_plane", a.facts.Config.GetDiscoveryAddress())
	// What can happen: it ends, the pod ends, somebody asks for the end, a service fails.
	select {
	case <-e.done:
		return fmt.Errorf("envoy ended: %w", orUnknown(e.err))
	case <-ctx.Done():
	case <-a.quit:
	case <-services.Done():
		return e.end(a.o)
	}
	a.drainFor(services, e)
	return e.end(a.o)
}

func (a *agent) writeBootstrap() error {
	b, err := bootstrap.Build(a.facts, bootstrap.Layout{
		XDSSocket: a.o.xdsSocket(), SDSSocket: a.o.SDSSocket, AdminPort: a.o.AdminPort, StatusPort: portOf(a.o.StatusAddress),
		ReadyPort: a.o.ReadyPort, PrometheusPort: a.o.PrometheusPort, Bind: a.o.Bind,
	})
	if err != nil {
		return err
	}
	text, err := bootstrap.JSON(b)
	if err != nil {
		return fmt.Errorf("write bootstrap: %w", err)
	}
	if err := os.WriteFile(a.bootstrapPath(), text, 0o600); err != nil {
		return fmt.Errorf("write bootstrap: %w", err)
	}
	return nil
}

func (a *agent) bootstrapPath() string { return filepath.Join(a.o.ConfigDir, "envoy-rev.json") }

func (a *agent) envoyArgs() []string {
	drain := 45 * time.Second
	if d := a.facts.Config.GetDrainDuration(); d != nil {
		drain = d.AsDuration()
	}
	args := []string{
		"-c", a.bootstrapPath(),
		"--drain-time-s", strconv.Itoa(int(drain.Seconds())),
		"--drain-strategy", "immediate",
		"--local-address-ip-version", ipVersion(a.facts.IPs),
		"--file-flush-interval-msec", "1000",
		"--disable-hot-restart",
		"--allow-unknown-static-fields",
		"--skip-deprecated-logs",
		"-l", a.o.LogLevel,
		"--component-log-level", componentLevels(a.o.ComponentLogLevel),
	}
	if n := a.concurrency(); n > 0 {
		args = append(args, "--concurrency", strconv.Itoa(n))
	}
	return args
}

// componentLevels are the user's. The extension that names the metrics (bootstrap.MetricNamespace) has no code on purpose, which
// Envoy's Wasm part calls critical at each start; it is silent unless the user wants to hear it.
func componentLevels(levels string) string {
	if strings.Contains(levels, "wasm:") {
		return levels
	}
	return strings.TrimPrefix(levels+",wasm:off", ",")
}

// concurrency is the number of worker threads; 0 leaves it to Envoy, which takes one for each core of the node.
func (a *agent) concurrency() int {
	if a.o.Concurrency >= 0 {
		return a.o.Concurrency
	}
	if n := a.facts.Config.GetConcurrency(); n != nil {
		return int(n.GetValue())
	}
	n, err := strconv.Atoi(a.env["ISTIO_CPU_LIMIT"])
	if err != nil {
		return 0
	}
	return n
}

func startEnvoy(path string, args []string, output io.Writer) (*envoy, error) {
	if output == nil {
		output = os.Stderr
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = output, output
	// A group of its own, so that a terminal's interrupt reaches the agent only, which then ends Envoy in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Envoy: %w", err)
	}
	e := &envoy{process: cmd.Process, done: make(chan struct{})}
	go func() {
		e.err = cmd.Wait()
		close(e.done)
	}()
	return e, nil
}

// end asks Envoy to end, and kills it if it does not.
func (e *envoy) end(o Options) error {
	_ = e.process.Signal(syscall.SIGTERM) // fails only if it has ended
	select {
	case <-e.done:
	case <-time.After(endTimeout):
		o.Log.Warn("Envoy did not end and is killed", "waited", endTimeout)
		_ = e.process.Kill()
		<-e.done
	}
	return nil
}

func orUnknown(err error) error {
	if err == nil {
		return errors.New("exit code 0, though nobody asked it to")
	}
	return err
}
