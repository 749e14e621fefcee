package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
)

func newKubeconfig() *cobra.Command {
	var name string
	var merge, force bool
	command := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print a kubeconfig with a context for each cluster: cluster1, cluster2, ...",
		Long: `Print a kubeconfig with a context for each cluster: cluster1, cluster2, ...

The same text is in the lab's own folder (see status). Your own kubeconfig is changed only with --merge, and a context of
the same name that leads elsewhere only with --force.`,
		Example: example("kubeconfig > lab.kubeconfig", "kubeconfig --merge"),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := load(name); err != nil {
				return err
			}
			file := lab.DefaultStore().Kubeconfig(name)
			if !merge {
				data, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("read the lab's kubeconfig: %w", err)
				}
				_, err = c.OutOrStdout().Write(data)
				return err
			}
			into, err := mergeKubeconfig(file, clientcmd.NewDefaultPathOptions().GetDefaultFilename(), force)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "merged into %s\n", into)
			return nil
		},
	}
	addName(command, &name)
	command.Flags().BoolVar(&merge, "merge", false, "write the contexts into your own kubeconfig")
	command.Flags().BoolVar(&force, "force", false, "with --merge: replace contexts of the same name that lead elsewhere")
	return command
}

// mergeKubeconfig adds what is in the file to the other, and leaves the rest of that as it is, its current context too.
func mergeKubeconfig(file, into string, force bool) (string, error) {
	from, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return "", fmt.Errorf("read the lab's kubeconfig: %w", err)
	}
	to, err := clientcmd.LoadFromFile(into)
	if os.IsNotExist(err) {
		to = api.NewConfig()
	} else if err != nil {
		return "", fmt.Errorf("read your kubeconfig: %w", err)
	}
	for name, context := range from.Contexts {
		if there, ok := to.Clusters[name]; ok && there.Server != from.Clusters[name].Server && !force {
			return "", fmt.Errorf("%s has a cluster %s already, at %s; use --force to replace it", into, name, there.Server)
		}
		to.Contexts[name], to.Clusters[name], to.AuthInfos[name] = context, from.Clusters[name], from.AuthInfos[name]
	}
	if to.CurrentContext == "" {
		to.CurrentContext = from.CurrentContext
	}
	if err := clientcmd.WriteToFile(*to, into); err != nil {
		return "", fmt.Errorf("write your kubeconfig: %w", err)
	}
	return into, nil
}
