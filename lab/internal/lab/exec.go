package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
)

// Exec runs a command inside a node, with this process's input and output, and returns its exit code.
func Exec(store Store, name, cluster, nodeName string, command []string) (int, error) {
	state, err := store.Load(name)
	if err != nil {
		return 0, err
	}
	c, err := state.Plan.Cluster(cluster)
	if err != nil {
		return 0, err
	}
	n, err := c.Node(nodeName)
	if err != nil {
		return 0, err
	}
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return 0, err
	}
	pid, err := Supervisor(hierarchies, name, n)
	if err != nil {
		return 0, err
	}
	// The thread that enters the namespaces is never given back to the runtime: it ends with the process.
	runtime.LockOSThread()
	if err := enter(pid); err != nil {
		return 0, fmt.Errorf("enter node %s: %w", n.Name, err)
	}
	path := state.Bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if err := os.Setenv("PATH", path); err != nil {
		return 0, fmt.Errorf("set PATH: %w", err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run on node %s: %w", n.Name, err)
	}
	return 0, nil
}

// enter moves the calling thread into the namespaces of the process, so that children of the thread are born there.
func enter(pid int) error {
	// Threads share their working folder and root, and who shares them cannot change its mounts.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	var files []*os.File
	kinds := []string{"pid", "net", "uts", "ipc", "mnt"} // mnt last: /proc is another one behind it
	for _, kind := range kinds {
		file, err := os.Open(filepath.Join("/proc", fmt.Sprint(pid), "ns", kind))
		if err != nil {
			return err
		}
		defer file.Close()
		files = append(files, file)
	}
	for i, file := range files {
		if err := unix.Setns(int(file.Fd()), 0); err != nil {
			return fmt.Errorf("join namespace %s: %w", kinds[i], err)
		}
	}
	return nil
}
