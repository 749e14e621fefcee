package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/hostnet"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

// Down is a run of `lab down`.
type Down struct {
	Store Store
	Say   *progress.Printer
}

// Remove ends everything that carries the lab's name and removes all that it left, whether or not a state of it is there. It must be called
// with the lock held. Removing what is not there is no error.
func (d Down) Remove(ctx context.Context, name string) error {
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	if err := stop(ctx, plan.Cgroup(name), hierarchies); err != nil {
		return err
	}
	if err := removeGroups(ctx, hierarchies, plan.Cgroup(name)); err != nil {
		return err
	}
	if err := hostnet.Remove(name); err != nil {
		return err
	}
	dir := d.Store.LabDir(name)
	if err := unmountBelow(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the folder of lab %s: %w", name, err)
	}
	left, err := d.Names()
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return restoreHost(d.Store)
	}
	return nil
}

// Names are the names of all labs of which anything is on the host.
func (d Down) Names() ([]string, error) {
	names, err := d.Store.Names()
	if err != nil {
		return nil, err
	}
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return nil, err
	}
	for _, group := range cgroup.Groups(hierarchies, plan.Cgroup("")) {
		names = append(names, strings.TrimPrefix(group, plan.Cgroup("")))
	}
	bridges, err := hostnet.Labs()
	if err != nil {
		return nil, err
	}
	names = append(names, bridges...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// removeGroups removes a control group of a lab and all below it. The kernel takes a moment to notice that the last process of one is gone.
func removeGroups(ctx context.Context, hierarchies []cgroup.Hierarchy, group string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var last error
	err := poll(ctx, func() bool {
		last = cgroup.Remove(hierarchies, group)
		return last == nil
	})
	if err != nil {
		return errors.Join(last, err)
	}
	return nil
}

// unmountBelow takes away what is mounted below dir on the host. A lab mounts nothing there; a person who looked into it may have.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[4], dir+"/") {
			continue
		}
		if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", fields[4], err)
		}
	}
	return nil
}

// removeEmpty removes folders that are there and empty.
func removeEmpty(dirs ...string) error {
	for _, dir := range dirs {
		err := os.Remove(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("remove folder: %w", err)
		}
		if err != nil {
			continue
		}
		// The store's own parents were made for it.
		if filepath.Base(filepath.Dir(dir)) == "isthmus" {
			if err := removeEmpty(filepath.Dir(dir)); err != nil {
				return err
			}
		}
	}
	return nil
}
