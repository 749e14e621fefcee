package cli

import (
	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/host"
	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
)

func newExec() *cobra.Command {
	var name, cluster, node string
	command := &cobra.Command{
		Use:   "exec -- COMMAND [ARGUMENT...]",
		Short: "Run a command on a node",
		Long: `Run a command on a node: a program of the host, in the node's namespaces, with the node's own programs on PATH.

For a command in a pod, use kubectl exec.`,
		Example: example("exec -- ctr -n k8s.io images ls", "exec --cluster cluster2 -- nft list ruleset", "exec --node 2 -- ip route"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := host.This().CheckRoot(asRoot()); err != nil {
				return err
			}
			if _, err := load(name); err != nil {
				return err
			}
			code, err := lab.Exec(lab.DefaultStore(), name, cluster, node, args)
			if err != nil {
				return err
			}
			if code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
	addName(command, &name)
	command.Flags().StringVar(&cluster, "cluster", "cluster1", "the cluster")
	command.Flags().StringVar(&node, "node", "", "the node, by name or number (default: the first)")
	return command
}
