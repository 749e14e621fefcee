package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/binaries"
	"github.com/isthmus-mesh/isthmus/lab/internal/host"
)

func newBuild() *cobra.Command {
	var printPath string
	command := &cobra.Command{
		Use:   "build",
		Short: "Build what a lab runs into the cache, and nothing else",
		Long: `Build what a lab runs into the cache, and nothing else.

What is there already is not built again. The cache is the folder that ISTHMUS_CACHE names, or isthmus in your cache folder.
This needs no root.`,
		Example: example("build", "build --print-path kubectl"),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := binaries.CheckProgram(printPath); printPath != "" && err != nil {
				return err
			}
			machine := host.This()
			if err := machine.Check(program()); err != nil {
				return err
			}
			bin, _, err := build(c.Context(), machine, newPrinter(c.ErrOrStderr()))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), filepath.Join(bin, printPath))
			return err
		},
	}
	command.Flags().StringVar(&printPath, "print-path", "", "print where this program is, instead of the folder of all")
	return command
}

func newInstallPackages() *cobra.Command {
	var list bool
	command := &cobra.Command{
		Use:   "install-packages",
		Short: "Install the packages of the host that a lab needs (Debian and relatives)",
		Long: `Install the packages of the host that a lab needs: nftables, a C compiler, pkg-config, and the headers of libseccomp.

On Debian and its relatives this runs apt-get; elsewhere it prints the command to run. What is there is left alone.`,
		Example: example("install-packages", "install-packages --missing"),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !list {
				return host.InstallPackages(c.Context(), c.OutOrStdout())
			}
			for _, name := range host.MissingPackages() {
				fmt.Fprintln(c.OutOrStdout(), name)
			}
			return nil
		},
	}
	command.Flags().BoolVar(&list, "missing", false, "print the names of what is missing instead, as this system calls it")
	return command
}
