package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
)

func newLogs() *cobra.Command {
	var name, cluster, node string
	var follow bool
	command := &cobra.Command{
		Use:       "logs COMPONENT",
		Short:     "Print the log of a component of a node",
		Long:      "Print the log of a component of a node. Components are " + strings.Join(config.Components(), ", ") + ".\n\nFor the log of a pod, use kubectl logs.",
		Example:   example("logs kubelet", "logs kube-apiserver --cluster cluster2 -f"),
		Args:      cobra.ExactArgs(1),
		ValidArgs: config.Components(),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(config.Components(), args[0]) {
				return fmt.Errorf("no component %q; there are %s", args[0], strings.Join(config.Components(), ", "))
			}
			file, err := logFile(name, cluster, node, args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			if _, err := io.Copy(c.OutOrStdout(), file); err != nil || !follow {
				return err
			}
			return tail(c.Context(), c.OutOrStdout(), file)
		},
	}
	addName(command, &name)
	command.Flags().StringVar(&cluster, "cluster", "cluster1", "the cluster")
	command.Flags().StringVar(&node, "node", "", "the node, by name or number (default: the first)")
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	return command
}

func logFile(name, cluster, node, component string) (*os.File, error) {
	state, err := load(name)
	if err != nil {
		return nil, err
	}
	c, err := state.Plan.Cluster(cluster)
	if err != nil {
		return nil, err
	}
	n, err := c.Node(node)
	if err != nil {
		return nil, err
	}
	places := config.Places{Lab: lab.DefaultStore().LabDir(name)}
	file, err := os.Open(filepath.Join(places.NodeDir(n), "log", component+".log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has not run on %s; the control plane is on the first node of a cluster", component, n.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return file, nil
}

// tail copies what is added to the file until the context ends.
func tail(ctx context.Context, out io.Writer, file io.Reader) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if _, err := io.Copy(out, file); err != nil {
				return err
			}
		}
	}
}
