package cli

import (
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/cloud"
	"github.com/isthmus-mesh/isthmus/lab/internal/node"
)

// newNodeSupervisor is what `up` starts for each node.
func newNodeSupervisor() *cobra.Command {
	return &cobra.Command{
		Use:    node.Command + " FILE",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return node.Run(args[0]) },
	}
}

// newCloudController is what the first node of each cluster runs.
func newCloudController() *cobra.Command {
	var options cloud.Options
	var within string
	command := &cobra.Command{
		Use:    "cloud-controller",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if options.Range, err = netip.ParsePrefix(within); err != nil {
				return err
			}
			return cloud.Run(c.Context(), options)
		},
	}
	command.Flags().StringVar(&options.Kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&options.Cluster, "cluster", "", "name of the cluster")
	command.Flags().StringVar(&within, "range", "", "addresses to hand out")
	return command
}
