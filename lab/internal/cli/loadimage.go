package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/host"
	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
)

func newLoadImage() *cobra.Command {
	var name, cluster string
	command := &cobra.Command{
		Use:   "load-image FILE.tar...",
		Short: "Load images from tarballs into the nodes of a lab",
		Long: `Load images from tarballs into the nodes of a lab, under the names that are in the tarballs.

OCI archives and those of ` + "`docker save`" + ` will do. A lab pulls nothing and throws no image away, so pods may use the
images with the pull policy IfNotPresent or Never.`,
		Example: example("load-image istiod.tar proxy.tar", "load-image --cluster cluster2 app.tar"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := host.This().CheckRoot(asRoot()); err != nil {
				return err
			}
			if _, err := load(name); err != nil {
				return err
			}
			var files []string
			for _, arg := range args {
				file, err := filepath.Abs(arg)
				if err != nil {
					return err
				}
				if _, err := os.Stat(file); err != nil {
					return fmt.Errorf("image: %w", err)
				}
				files = append(files, file)
			}
			say := newPrinter(c.ErrOrStderr())
			return say.Step("load "+strings.Join(args, " "), 0, func() error {
				return lab.LoadImages(c.Context(), lab.DefaultStore(), name, cluster, files)
			})
		},
	}
	addName(command, &name)
	command.Flags().StringVar(&cluster, "cluster", "", "only into this cluster")
	return command
}
