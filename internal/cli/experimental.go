package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newExperimentalCommand groups the commands under the name by which older releases and guides call them.
func newExperimentalCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "experimental",
		Aliases: []string{"x", "exp"},
		Short:   "Commands as older releases name them",
		Args:    cobra.ArbitraryArgs,
		// A pipe must not go on with nothing when the command after x does not exist.
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newCreateRemoteSecretCommand(g))
	return cmd
}
