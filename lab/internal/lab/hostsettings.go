package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
)

// hostSettings are the kernel settings, below /proc/sys, that a kubelet, or a lab, sets for the whole machine.
var hostSettings = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"fs/inotify/max_user_instances", "fs/inotify/max_user_watches",
}

// leastSettings are what all labs of a machine need together. Kubelets, containerd and API servers watch files, and
// distributions allow one user 128 watchers: two clusters use half of them. Without one a component ends with "too many
// open files".
var leastSettings = map[string]int{
	"fs/inotify/max_user_instances": 8192,
	"fs/inotify/max_user_watches":   524288,
}

// raiseHost raises the kernel's limits to what labs need. What is higher already stays.
func raiseHost() error {
	for name, least := range leastSettings {
		path := filepath.Join("/proc/sys", name)
		data, err := os.ReadFile(path)
		if err != nil {
			continue // this kernel has no such limit
		}
		if now, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && now >= least {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(least)), 0o644); err != nil {
			return fmt.Errorf("raise the kernel's limit %s to %d: %w", strings.ReplaceAll(name, "/", "."), least, err)
		}
	}
	return nil
}

func settingsFile(store Store) string { return filepath.Join(store.Dir, "host.json") }

// host is what is remembered of the host from before the first lab.
type host struct {
	Settings map[string]string `json:"settings"`
	Made     []string          `json:"made"` // folders that were not there
}

// rememberHost keeps the host's settings as they were before the first lab.
func rememberHost(store Store) error {
	if _, err := os.Stat(settingsFile(store)); err == nil {
		return nil
	}
	before := host{Settings: map[string]string{}}
	for _, name := range hostSettings {
		data, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			continue // this kernel has no such setting, so a kubelet cannot change it
		}
		before.Settings[name] = strings.TrimSpace(string(data))
	}
	for _, dir := range []string{config.KubeletDir, config.ContainerdDir, config.ContainerdRunDir} {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			before.Made = append(before.Made, dir)
		}
	}
	data, err := json.MarshalIndent(before, "", "  ")
	if err != nil {
		return fmt.Errorf("remember the host's settings: %w", err)
	}
	if err := os.MkdirAll(store.Dir, 0o755); err != nil {
		return fmt.Errorf("remember the host's settings: %w", err)
	}
	if err := os.WriteFile(settingsFile(store), data, 0o644); err != nil {
		return fmt.Errorf("remember the host's settings: %w", err)
	}
	return nil
}

// restoreHost undoes what rememberHost remembered, after the last lab.
func restoreHost(store Store) error {
	data, err := os.ReadFile(settingsFile(store))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the host's settings: %w", err)
	}
	var before host
	if err := json.Unmarshal(data, &before); err != nil {
		return fmt.Errorf("read the host's settings from %s: %w", settingsFile(store), err)
	}
	for name, value := range before.Settings {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("restore the host's setting %s: %w", name, err)
		}
	}
	if err := removeEmpty(before.Made...); err != nil {
		return err
	}
	if err := os.Remove(settingsFile(store)); err != nil {
		return fmt.Errorf("forget the host's settings: %w", err)
	}
	return removeEmpty(store.Dir)
}
