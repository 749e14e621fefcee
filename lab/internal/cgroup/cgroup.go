// Package cgroup makes, joins, measures and removes control groups in every hierarchy of the host, of version 1, 2, or both. Supervisors
// join through it, `down` finds a lab's processes through it. It sets no limits.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Hierarchy is one mounted tree of control groups.
type Hierarchy struct {
	Path        string
	V2          bool
	Controllers []string
}

// Hierarchies lists what is mounted, by the text of /proc/self/mountinfo.
func Hierarchies() ([]Hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list control group hierarchies: %w", err)
	}
	found := parse(string(mounts))
	for i, h := range found {
		if h.V2 {
			controllers, err := os.ReadFile(filepath.Join(h.Path, "cgroup.controllers"))
			if err != nil {
				return nil, fmt.Errorf("read controllers of %s: %w", h.Path, err)
			}
			found[i].Controllers = strings.Fields(string(controllers))
		}
	}
	return found, nil
}

func parse(mountinfo string) []Hierarchy {
	var found []Hierarchy
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		// Only a mount of a tree's root is a place to make groups at; containers see parts of trees elsewhere.
		if left[3] != "/" {
			continue
		}
		switch right[0] {
		case "cgroup2":
			found = append(found, Hierarchy{Path: left[4], V2: true})
		case "cgroup":
			found = append(found, Hierarchy{Path: left[4], Controllers: controllers(right[2])})
		}
	}
	return found
}

// controllers are those among a version 1 hierarchy's mount options.
func controllers(options string) []string {
	return slices.DeleteFunc(strings.Split(options, ","), func(option string) bool {
		return option == "rw" || option == "ro" || option == "xattr" || strings.Contains(option, "=")
	})
}

// Missing are the controllers that a kubelet needs and no hierarchy has.
func Missing(hierarchies []Hierarchy) []string {
	var missing []string
	for _, need := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !slices.ContainsFunc(hierarchies, func(h Hierarchy) bool { return slices.Contains(h.Controllers, need) }) {
			missing = append(missing, need)
		}
	}
	return missing
}

// machines is how many processes of the host a lab weighs as much as when CPUs are short. As one group it would count as one
// process, and a compiler beside it would starve all its clusters.
const machines = 8

// Make makes the group, and those above it, in every hierarchy, ready to take processes or children. The topmost is a lab's.
func Make(hierarchies []Hierarchy, group string) error {
	for _, h := range hierarchies {
		at := h.Path
		for i, part := range strings.Split(group, "/") {
			if h.V2 {
				if err := delegate(h, at); err != nil {
					return err
				}
			}
			below := filepath.Join(at, part)
			if err := os.Mkdir(below, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make control group: %w", err)
			}
			if err := fillCpuset(at, below); err != nil {
				return err
			}
			if i == 0 {
				if err := weigh(below); err != nil {
					return err
				}
			}
			at = below
		}
	}
	return nil
}

// weigh gives a group the weight of several processes, in the units of either version.
func weigh(group string) error {
	for file, one := range map[string]int{"cpu.shares": 1024, "cpu.weight": 100} {
		path := filepath.Join(group, file)
		if _, err := os.Stat(path); err != nil {
			continue // another hierarchy, or another version
		}
		if err := write(path, strconv.Itoa(machines*one)); err != nil {
			return fmt.Errorf("set the weight of control group %s: %w", group, err)
		}
	}
	return nil
}

// delegate lets children of a version 2 group use all controllers.
func delegate(h Hierarchy, group string) error {
	available, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read controllers: %w", err)
	}
	for _, controller := range strings.Fields(string(available)) {
		if !slices.Contains([]string{"cpu", "cpuset", "io", "memory", "pids", "hugetlb"}, controller) {
			continue
		}
		if err := write(filepath.Join(group, "cgroup.subtree_control"), "+"+controller); err != nil {
			return fmt.Errorf("enable controller %s below %s: %w", controller, group, err)
		}
	}
	return nil
}

// fillCpuset copies CPUs and memory nodes from a version 1 group to its child, which cannot take processes without.
func fillCpuset(parent, child string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, name))
		own, ownErr := os.ReadFile(filepath.Join(child, name))
		// Other hierarchies have no such file; of version 2 an empty one means all.
		if err != nil || ownErr != nil || strings.TrimSpace(string(own)) != "" || strings.TrimSpace(string(value)) == "" {
			continue
		}
		if err := write(filepath.Join(child, name), strings.TrimSpace(string(value))); err != nil {
			return fmt.Errorf("set %s of control group %s: %w", name, child, err)
		}
	}
	return nil
}

// Join moves the calling process into the group, in every hierarchy.
func Join(hierarchies []Hierarchy, group string) error {
	for _, h := range hierarchies {
		if err := write(filepath.Join(h.Path, group, "cgroup.procs"), "0"); err != nil {
			return fmt.Errorf("join control group: %w", err)
		}
	}
	return nil
}

func write(path, value string) error { return os.WriteFile(path, []byte(value), 0o644) }

// Processes are the ids of all processes in the group and below it, in any hierarchy.
func Processes(hierarchies []Hierarchy, group string) ([]int, error) {
	var pids []int
	err := walk(hierarchies, group, func(dir string) error {
		file, err := os.Open(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return ignoreGone(err)
		}
		defer file.Close()
		for scanner := bufio.NewScanner(file); scanner.Scan(); {
			if pid, err := strconv.Atoi(scanner.Text()); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	slices.Sort(pids)
	return slices.Compact(pids), err
}

// Remove removes the group and all below it. They must be empty of processes.
func Remove(hierarchies []Hierarchy, group string) error {
	var dirs []string
	err := walk(hierarchies, group, func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs) // children before parents
	for _, dir := range dirs {
		if err := os.Remove(dir); ignoreGone(err) != nil {
			return fmt.Errorf("remove control group: %w", err)
		}
	}
	return nil
}

// walk visits the group and all below it, parents before children.
func walk(hierarchies []Hierarchy, group string, visit func(dir string) error) error {
	for _, h := range hierarchies {
		err := filepath.WalkDir(filepath.Join(h.Path, group), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return ignoreGone(err)
			}
			if !entry.IsDir() {
				return nil
			}
			return visit(path)
		})
		if err != nil {
			return fmt.Errorf("walk control group %s: %w", group, err)
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Groups are the names of the groups at the root of the hierarchies that start with prefix.
func Groups(hierarchies []Hierarchy, prefix string) []string {
	var names []string
	for _, h := range hierarchies {
		found, _ := filepath.Glob(filepath.Join(h.Path, prefix+"*")) // the pattern is valid
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Memory is what the processes of the group use, in bytes: their own memory and the files that they have mapped, no other page cache.
func Memory(hierarchies []Hierarchy, group string) (uint64, error) {
	for _, h := range hierarchies {
		if !slices.Contains(h.Controllers, "memory") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(h.Path, group, "memory.stat"))
		if err != nil {
			return 0, fmt.Errorf("measure memory: %w", err)
		}
		return used(string(data), h.V2), nil
	}
	return 0, errors.New("measure memory: no hierarchy has the memory controller")
}

func used(stat string, v2 bool) uint64 {
	wanted := []string{"total_rss", "total_mapped_file"}
	if v2 {
		wanted = []string{"anon", "file_mapped"}
	}
	var sum uint64
	for line := range strings.Lines(stat) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if slices.Contains(wanted, name) {
			n, _ := strconv.ParseUint(value, 10, 64) // a kernel that writes anything else counts as zero
			sum += n
		}
	}
	return sum
}
