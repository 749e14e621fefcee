//go:build lab

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// processes are those whose command line contains the text, this test and its children's own commands excepted.
func processes(t *testing.T, text string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), text) {
			continue // gone, or another
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// checkGone fails the test if anything on the machine carries the lab's name.
func checkGone(t *testing.T, name string) {
	t.Helper()
	if pids := processes(t, "/lab/"+name+"/"); len(pids) > 0 {
		t.Errorf("lab %s is down and left processes %v", name, pids)
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/isthmus-lab-" + name + "*")
	more, _ := filepath.Glob("/sys/fs/cgroup/isthmus-lab-" + name + "*")
	if groups = append(groups, more...); len(groups) > 0 {
		t.Errorf("lab %s is down and left control groups %v", name, groups)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/lab/"+name+"/") || strings.Contains(line, "/cni-") || strings.Contains(line, "/run/containerd") {
			t.Errorf("lab %s is down and left a mount: %s", name, line)
		}
	}
	if _, err := os.Stat("/var/lib/isthmus/lab/" + name); err == nil {
		t.Errorf("lab %s is down and left its folder", name)
	}
	interfaces, _ := filepath.Glob("/sys/class/net/il-" + name + "*")
	if len(interfaces) > 0 {
		t.Errorf("lab %s is down and left interfaces %v", name, interfaces)
	}
	namespaces, _ := filepath.Glob("/run/netns/*" + name + "*")
	if len(namespaces) > 0 {
		t.Errorf("lab %s is down and left named network namespaces %v", name, namespaces)
	}
	tables, err := exec.Command("nft", "list", "tables").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(tables), "isthmus") || strings.Contains(string(tables), "kube-proxy") {
		t.Errorf("lab %s is down and left nftables tables on the host: %s", name, tables)
	}
	checkGroups(t, name)
}

// checkGroups fails the test if a process is in a control group of the lab. One that has ended and that the machine's first process
// has not taken in yet is not the lab's any more.
func checkGroups(t *testing.T, name string) {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range files {
		data, err := os.ReadFile(file)
		status, statusErr := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
		if err != nil || statusErr != nil || strings.Contains(string(status), "State:\tZ") {
			continue
		}
		if strings.Contains(string(data), "isthmus-lab-"+name+"/") {
			t.Errorf("lab %s is down and left a process in its control group: %s", name, filepath.Dir(file))
		}
	}
}
