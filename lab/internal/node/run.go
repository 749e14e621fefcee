// Package node is the inside of one node of a lab: the process that is first in the node's namespaces, sets them up, starts the components
// and starts them again when they end. Start makes such a process; when it dies, the kernel ends everything of the node and
// takes its mounts and interfaces away, so nothing has to be tidied up one by one. It knows nothing of Kubernetes.
package node

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/config"
)

// gate is the file descriptor on which the supervisor waits for the word to begin.
const gate = 3

// SystemGroup is the child of a node's control group for everything that is not a pod.
const SystemGroup = "system"

// Run is the supervisor of the node that specFile describes. It returns only with an error.
func Run(specFile string) error {
	spec, err := Read(specFile)
	if err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return fmt.Errorf("supervisor of %s: not the first process of a namespace; it is started by `isthmus lab up`", spec.Node.Name)
	}
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	// First of all be found: from here on `down` sees this process, whatever becomes of the one that started it.
	if err := cgroup.Join(hierarchies, spec.Cgroup+"/"+SystemGroup); err != nil {
		return err
	}
	if err := waitForGate(); err != nil {
		return err
	}
	if err := setUpMounts(spec); err != nil {
		return err
	}
	if err := setUpNetwork(spec); err != nil {
		return err
	}
	return newSupervisor(spec).run()
}

// Read reads the description of a node.
func Read(specFile string) (config.Node, error) {
	data, err := os.ReadFile(specFile)
	if err != nil {
		return config.Node{}, fmt.Errorf("read node: %w", err)
	}
	var spec config.Node
	if err := json.Unmarshal(data, &spec); err != nil {
		return config.Node{}, fmt.Errorf("read node %s: %w", specFile, err)
	}
	return spec, nil
}

// waitForGate blocks until the starting process has plugged the cable in. If that dies first, its end of the pipe closes.
func waitForGate() error {
	pipe := os.NewFile(gate, "gate")
	defer pipe.Close()
	if _, err := io.ReadFull(pipe, make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for the starting process: %w", err)
	}
	return nil
}

// SpecFile is where the description of a node is stored, in the node's folder.
func SpecFile(dir string) string { return filepath.Join(dir, "node.json") }
