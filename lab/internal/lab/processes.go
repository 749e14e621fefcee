package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/node"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Supervisor is the process id of a node's supervisor. It is looked up where the kernel keeps it, so a stale record cannot mislead.
func Supervisor(hierarchies []cgroup.Hierarchy, lab string, n plan.Node) (int, error) {
	pids, err := cgroup.Processes(hierarchies, plan.NodeCgroup(lab, n)+"/"+node.SystemGroup)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		if status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status")); err == nil && first(string(status)) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("node %s of lab %s is not running", n.Name, lab)
}

// first tells by the text of /proc/PID/status whether the process is the first of a namespace.
func first(status string) bool {
	for line := range strings.Lines(status) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(ids)
			return len(fields) > 1 && fields[len(fields)-1] == "1"
		}
	}
	return false
}

// stop ends all processes of a control group, a lab's or a node's, and returns when the last is gone.
func stop(ctx context.Context, group string, hierarchies []cgroup.Hierarchy) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("processes of control group %s do not end", group))
	defer cancel()
	for {
		pids, err := cgroup.Processes(hierarchies, group)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			// With a supervisor everything in its namespace ends, so most others are gone before their turn.
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				return fmt.Errorf("end process %d of control group %s: %w", pid, group, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %v", context.Cause(ctx), pids)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
