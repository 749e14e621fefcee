package cli

import "github.com/spf13/cobra"

// newExperimentalCommand groups the commands under the name by which older releases and guides call them.
func newExperimentalCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "experimental",
		Aliases: []string{"x", "exp"},
		Short:   "Commands as older releases name them",
		Example: `  isthmus x create-remote-secret --context="${CTX_CLUSTER1}" --name=cluster1 | kubectl apply -f - --context="${CTX_CLUSTER2}"`,
		// A pipe must not go on with nothing when the command after x does not exist.
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCreateRemoteSecretCommand(g))
	return cmd
}
