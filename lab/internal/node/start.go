package node

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Command is the hidden command of the lab's binary that Start runs; its argument is the node's SpecFile.
const Command = "node-supervisor"

// Start writes the node's files, starts its supervisor in namespaces of its own and plugs the cable in. The supervisor outlives the
// caller; its process id and all that is needed to find it again are in the node's control group.
func Start(spec config.Node, self string, hierarchies []cgroup.Hierarchy) (pid int, err error) {
	if err := write(spec); err != nil {
		return 0, err
	}
	if err := cgroup.Make(hierarchies, spec.Cgroup+"/"+SystemGroup); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(spec.Dir, "log", "supervisor.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("open log of %s: %w", spec.Node.Name, err)
	}
	defer log.Close()
	hold, release, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make pipe: %w", err)
	}
	defer hold.Close()
	defer release.Close()
	cmd := exec.Command(self, Command, SpecFile(spec.Dir))
	cmd.Dir = "/"
	cmd.Env = environment(spec)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{hold} // becomes gate
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start node %s: %w", spec.Node.Name, err)
	}
	pid = cmd.Process.Pid
	if err := plugIn(spec, pid); err != nil {
		_ = cmd.Process.Kill() // the error that led here is the one to report
		_ = cmd.Wait()
		return 0, fmt.Errorf("node %s: %w", spec.Node.Name, err)
	}
	// Its end is noticed by what waits for the node to be ready; here it only must not stay as a zombie.
	go func() { _ = cmd.Wait() }()
	if _, err := release.Write([]byte{1}); err != nil {
		return 0, fmt.Errorf("start node %s: %w; see %s", spec.Node.Name, err, log.Name())
	}
	return pid, nil
}

// write makes the node's folders and files.
func write(spec config.Node) error {
	for _, dir := range []string{"kubelet", "containerd", "log", "cni"} {
		if err := os.MkdirAll(filepath.Join(spec.Dir, dir), 0o755); err != nil {
			return fmt.Errorf("make folder of %s: %w", spec.Node.Name, err)
		}
	}
	// etcd refuses a folder that others may read.
	if err := os.MkdirAll(filepath.Join(spec.Dir, "etcd"), 0o700); err != nil {
		return fmt.Errorf("make folder of %s: %w", spec.Node.Name, err)
	}
	for path, content := range spec.Files {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("write file of %s: %w", spec.Node.Name, err)
		}
	}
	data, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("write node %s: %w", spec.Node.Name, err)
	}
	if err := os.WriteFile(SpecFile(spec.Dir), data, 0o600); err != nil {
		return fmt.Errorf("write node %s: %w", spec.Node.Name, err)
	}
	return nil
}

// plugIn makes the cable between the lab's bridge and the network namespace of the process.
func plugIn(spec config.Node, pid int) error {
	bridge, err := netlink.LinkByName(plan.Bridge(spec.Lab))
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", plan.Bridge(spec.Lab), err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = plan.Link(spec.Lab, spec.Node)
	attrs.MasterIndex = bridge.Attrs().Index
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: config.NodeInterface, PeerNamespace: netlink.NsPid(pid)}
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("make link %s: %w", attrs.Name, err)
	}
	if err := netlink.LinkSetUp(cable); err != nil {
		return fmt.Errorf("start link %s: %w", attrs.Name, err)
	}
	return nil
}
