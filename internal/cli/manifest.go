package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/install"
)

func newManifestCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Print the manifests of an installation, or apply them",
		Example: `  isthmus manifest generate -f cluster1.yaml
  isthmus manifest apply --context="${CTX_CLUSTER1}" -f cluster1.yaml`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newManifestGenerateCommand(g), newInstallCommand(g))
	return cmd
}

// subcommandOnly refuses a word that names no subcommand.
func subcommandOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usageError(fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint))
}

func newManifestGenerateCommand(g *globals) *cobra.Command {
	f := &documentFlags{}
	var output string
	cmd := &cobra.Command{
		Use:     "generate",
		Short:   "Print what install would apply",
		Example: `  isthmus manifest generate -f cluster1.yaml`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, parts, err := f.render(cmd.Context(), g)
			if err != nil {
				return err
			}
			if output != "" {
				return writeManifests(output, parts)
			}
			return printManifests(g, parts)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "folder to write one file a component to, instead of printing")
	cmd.Flags().Bool("cluster-specific", false, "accepted for compatibility: manifests are the same for every cluster")
	_ = cmd.Flags().MarkHidden("cluster-specific")
	_ = cmd.MarkFlagDirname("output")
	return cmd
}

// printManifests writes all objects as one stream, sorted by kind.
func printManifests(g *globals, parts []install.Part) error {
	var objects []*unstructured.Unstructured
	for _, part := range parts {
		objects = append(objects, part.Objects...)
	}
	text, err := install.Manifest(install.Sorted(objects))
	if err != nil {
		return err
	}
	_, err = g.Out.Write(text)
	return err
}

// writeManifests writes DIR/COMPONENT/NAME.yaml for each part.
func writeManifests(dir string, parts []install.Part) error {
	if len(parts) == 0 {
		return errors.New("nothing is enabled, so there is nothing to write")
	}
	for _, part := range parts {
		text, err := install.Manifest(part.Objects)
		if err != nil {
			return err
		}
		folder := filepath.Join(dir, part.Component)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, part.Name+".yaml"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
