package node

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
)

// setUpMounts gives the node a mount namespace of its own: the host's files, with the folders that a node writes to taken from
// the lab's folder. Nothing that is mounted here is seen on the host.
func setUpMounts(spec config.Node) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := detachNamespaces(); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, bind := range spec.Binds {
		if err := unix.Mount(bind.Source, bind.Target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show %s as %s: %w", bind.Source, bind.Target, err)
		}
	}
	// Sockets, and containerd's knowledge of what runs: worth nothing once the node's processes are gone.
	if err := unix.Mount("tmpfs", config.ContainerdRunDir, "tmpfs", 0, "mode=0711"); err != nil {
		return fmt.Errorf("mount %s: %w", config.ContainerdRunDir, err)
	}
	// Pods may ask for mounts that go both ways; that takes a shared tree.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	return nil
}

// detachNamespaces lets go of other programs' named network namespaces, which a copied mount would keep alive after their removal.
func detachNamespaces() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[4], "/run/netns") {
			continue
		}
		if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
			return fmt.Errorf("detach %s: %w", fields[4], err)
		}
	}
	return nil
}
