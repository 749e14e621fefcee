package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/host"
	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

func newDown() *cobra.Command {
	var name string
	var all bool
	command := &cobra.Command{
		Use:   "down",
		Short: "Take a lab down and remove everything of it",
		Long: `Take a lab down and remove everything of it: processes, namespaces, mounts, interfaces, routes, control groups, data.

It goes by what is on the machine, so it also works after a crash and without the lab's folder. Built binaries stay in
the cache. A lab that is not there is no error.`,
		Example: example("down", "down --name two", "down --all"),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := host.This().CheckRoot(asRoot()); err != nil {
				return err
			}
			say := newPrinter(c.ErrOrStderr())
			unlock, err := lock(c.Context(), say)
			if err != nil {
				return err
			}
			defer unlock()
			down := lab.Down{Store: lab.DefaultStore(), Say: say}
			there, err := down.Names()
			if err != nil {
				return err
			}
			names := []string{name}
			if all {
				names = there
			}
			for _, n := range names {
				start := time.Now()
				if err := down.Remove(c.Context(), n); err != nil {
					return err
				}
				say.Say("lab %s is down after %s", n, progress.Round(time.Since(start)))
			}
			return nil
		},
	}
	addName(command, &name)
	command.Flags().BoolVar(&all, "all", false, "take all labs of this machine down")
	command.MarkFlagsMutuallyExclusive("name", "all")
	return command
}
