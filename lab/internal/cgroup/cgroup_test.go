package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const hybrid = `24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
25 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
26 24 0:24 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
27 24 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
28 24 0:26 /docker/abc /mnt/part rw,relatime - cgroup cgroup rw,memory
29 24 0:27 / /home rw - ext4 /dev/vda rw
`

func TestHierarchiesAreReadFromMounts(t *testing.T) {
	t.Parallel()
	got := parse(hybrid)
	want := []Hierarchy{
		{Path: "/sys/fs/cgroup/cpu,cpuacct", Controllers: []string{"cpu", "cpuacct"}},
		{Path: "/sys/fs/cgroup/systemd", Controllers: []string{}},
		{Path: "/sys/fs/cgroup/unified", V2: true},
	}
	if !slices.EqualFunc(got, want, func(a, b Hierarchy) bool {
		return a.Path == b.Path && a.V2 == b.V2 && slices.Equal(a.Controllers, b.Controllers)
	}) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if missing := Missing(got); !slices.Equal(missing, []string{"cpuset", "memory", "pids"}) {
		t.Errorf("missing: %v", missing)
	}
}

// tree makes files, and folders for names that end with a slash, and returns a hierarchy of them.
func tree(t *testing.T, files map[string]string) Hierarchy {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if name[len(name)-1] == '/' {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Hierarchy{Path: root}
}

func TestProcessesOfAllHierarchiesAndDepthsAreFound(t *testing.T) {
	t.Parallel()
	hierarchies := []Hierarchy{
		tree(t, map[string]string{
			"lab-a/cgroup.procs": "", "lab-a/c1n1/system/cgroup.procs": "12\n7\n", "lab-a/c1n1/kubepods/pod1/cgroup.procs": "30\n",
			"lab-ab/cgroup.procs": "99\n",
		}),
		tree(t, map[string]string{"lab-a/cgroup.procs": "12\n40\n"}),
		tree(t, nil), // the group was never made here
	}
	got, err := Processes(hierarchies, "lab-a")
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{7, 12, 30, 40}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRemoveTakesTheGroupAndNoOther(t *testing.T) {
	t.Parallel()
	h := tree(t, map[string]string{"lab-a/c1n1/system/": "", "lab-a/c1n1/kubepods/pod1/": "", "lab-ab/c1n1/": ""})
	if err := Remove([]Hierarchy{h}, "lab-a"); err != nil {
		t.Fatal(err)
	}
	if got := Groups([]Hierarchy{h, h}, "lab-"); !slices.Equal(got, []string{"lab-ab"}) {
		t.Errorf("left: %v, want lab-ab only", got)
	}
	if err := Remove([]Hierarchy{h}, "lab-a"); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}

func TestGroupsOfVersion1GetTheirParentsCPUs(t *testing.T) {
	t.Parallel()
	h := tree(t, map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n", "lab/cpuset.cpus": "\n", "lab/cpuset.mems": "\n"})
	if err := Make([]Hierarchy{h}, "lab"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"cpuset.cpus": "0-1", "cpuset.mems": "0"} {
		if got, err := os.ReadFile(filepath.Join(h.Path, "lab", name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestLabsWeighMoreThanAProcess(t *testing.T) {
	t.Parallel()
	v1 := tree(t, map[string]string{"lab/cpu.shares": "1024\n", "lab/c1n1/cpu.shares": "1024\n"})
	v2 := tree(t, map[string]string{"cgroup.controllers": "", "lab/cgroup.controllers": "", "lab/cpu.weight": "100\n"})
	v2.V2 = true
	if err := Make([]Hierarchy{v1, v2}, "lab/c1n1"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(v1.Path, "lab/cpu.shares"): "8192", filepath.Join(v2.Path, "lab/cpu.weight"): "800",
		filepath.Join(v1.Path, "lab/c1n1/cpu.shares"): "1024\n",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestMemoryCountsNoCache(t *testing.T) {
	t.Parallel()
	v1 := "cache 900\nrss 1\ntotal_cache 5000\ntotal_rss 100\ntotal_mapped_file 20\n"
	v2 := "anon 100\nfile 5000\nfile_mapped 20\n"
	if got := used(v1, false); got != 120 {
		t.Errorf("version 1: %d, want 120", got)
	}
	if got := used(v2, true); got != 120 {
		t.Errorf("version 2: %d, want 120", got)
	}
}
