// Package process runs programs on loopback and reads what they use of the machine. The bench and the tests with real API
// servers use it. It knows what it started by process id, ends that, and never looks for a process by name.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a running program.
type Process struct {
	name string
	log  string // path of the file with what it said
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start runs a program, which ends with this process at the latest. What it says goes to NAME.log in dir. It stands in a
// process group of its own, so that Ctrl-C on the terminal reaches only us, and things end in order.
func Start(dir, name, program string, args ...string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close() // the program has its own handle
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is told by its log
		close(p.done)
	}()
	return p, nil
}

// ID is the process id.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the program to end, kills it if it has not after a while, and waits for its end. It may be called more than once.
func (p *Process) Stop() {
	const patience = 5 * time.Second
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Said is the end of what the program said.
func (p *Process) Said() string {
	const most = 4 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-most):]))
}

// Await polls until check gives nil, because a program that starts cannot be waited for in another way. It gives up when
// the context or the program ends.
func (p *Process) Await(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; %s said:\n%s", what, errors.Join(ctx.Err(), err), p.name, p.Said())
		case <-p.done:
			return fmt.Errorf("%s ended before %s; it said:\n%s", p.name, what, p.Said())
		case <-tick.C:
		}
	}
}

// FreeAddress gives a loopback address on which nothing listens now.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
