package cli

import (
	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/check"
)

// completeContexts offers the contexts of the kubeconfig to the shell.
func (g *globals) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	contexts, err := check.Contexts(g.kubeconfig)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return contexts, cobra.ShellCompDirectiveNoFileComp
}

// completeOutput offers the words that --output takes to the shell.
func completeOutput(cmd *cobra.Command, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}
