// Package lab is the assembly: it brings labs up, takes them down and tells how they are, out of the plan, the host and the parts that the
// other packages make. The commands in the package cli call it, nothing else does.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Store is the folder that labs keep their state in: one folder a lab, named as the lab.
type Store struct {
	Dir string
}

// DefaultStore is the folder that ISTHMUS_LAB_DIR names, or the one of the system.
func DefaultStore() Store {
	if dir := os.Getenv("ISTHMUS_LAB_DIR"); dir != "" {
		return Store{dir}
	}
	return Store{"/var/lib/isthmus/lab"}
}

// State is what is remembered of a lab.
type State struct {
	Plan plan.Lab `json:"plan"`
	// Complete is false from when `up` begins until all of the lab was ready once.
	Complete bool      `json:"complete"`
	Made     time.Time `json:"made"`
	// Bin is the folder of the programs that the lab was made with.
	Bin string `json:"bin"`
}

// LabDir is the folder of the lab.
func (s Store) LabDir(name string) string { return filepath.Join(s.Dir, name) }

// Kubeconfig is the lab's file with one context a cluster.
func (s Store) Kubeconfig(name string) string { return filepath.Join(s.LabDir(name), "kubeconfig") }

func (s Store) stateFile(name string) string { return filepath.Join(s.LabDir(name), "lab.json") }

// ErrNoLab tells that there is no lab of the name.
var ErrNoLab = errors.New("there is no such lab")

// Load reads a lab's state. It returns ErrNoLab if there is none.
func (s Store) Load(name string) (State, error) {
	data, err := os.ReadFile(s.stateFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, fmt.Errorf("lab %s: %w", name, ErrNoLab)
	}
	if err != nil {
		return State{}, fmt.Errorf("read state of lab %s: %w", name, err)
	}
	var state State
	if err := json.Unmarshal(data, &state); err != nil {
		return State{}, fmt.Errorf("read state of lab %s: %w", name, err)
	}
	return state, nil
}

// save writes a lab's state in one step.
func (s Store) save(state State) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("write state of lab %s: %w", state.Plan.Name, err)
	}
	file := s.stateFile(state.Plan.Name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write state of lab %s: %w", state.Plan.Name, err)
	}
	if err := os.WriteFile(file+".new", data, 0o644); err != nil {
		return fmt.Errorf("write state of lab %s: %w", state.Plan.Name, err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write state of lab %s: %w", state.Plan.Name, err)
	}
	return nil
}

// Names are the names of all labs that have a folder, whether or not it is complete.
func (s Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && plan.CheckName(entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// lockFile is the same for every store, because the host's network and control groups are.
const lockFile = "/run/isthmus-lab.lock"

// Lock waits until no other process changes labs on this host. waiting is called once if it has to. The lock ends with its process.
func Lock(ctx context.Context, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for first := true; ; first = false {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", lockFile, err)
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
