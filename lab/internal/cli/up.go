package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/binaries"
	"github.com/isthmus-mesh/isthmus/lab/internal/host"
	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

type upFlags struct {
	request plan.Request
	within  string
	timeout time.Duration
	keep    bool
}

func newUp() *cobra.Command {
	var flags upFlags
	command := &cobra.Command{
		Use:   "up",
		Short: "Bring a lab up, or find that it is up",
		Long: `Bring a lab up, or find that it is up.

The first time this builds Kubernetes and its companions from source, which takes some minutes; the result is kept.
A lab that was left half made is made anew. A lab that ran before and does not now is started again with its data.
The host can reach all pods, nodes and LoadBalancer addresses; a lab reaches nothing outside of it but the host.

Each cluster is a region of its own (region1, ...), each of its nodes a zone (region1-a, ...). Networks are dealt to
clusters in turn: with --networks 2, cluster1 and cluster3 are in network1, cluster2 is in network2. Clusters
of one network reach each other's pods. Clusters of different networks reach only each other's LoadBalancer addresses
and API servers.`,
		Example: example("up", "up --clusters 3 --nodes 2", "up --name two --networks 2"),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// A lab that is there is taken as it is, but for what was asked for in so many words.
			if state, err := lab.DefaultStore().Load(flags.request.Name); err == nil {
				flags.request = adopt(flags.request, state.Plan, c.Flags().Changed)
			}
			return runUp(c.Context(), flags, host.This(), newPrinter(c.ErrOrStderr()))
		},
	}
	addName(command, &flags.request.Name)
	command.Flags().IntVar(&flags.request.Clusters, "clusters", 2, fmt.Sprintf("number of clusters, 1 to %d", plan.MaxClusters))
	command.Flags().IntVar(&flags.request.Nodes, "nodes", 1, fmt.Sprintf("number of nodes of each cluster, 1 to %d", plan.MaxNodes))
	command.Flags().IntVar(&flags.request.Networks, "networks", 1, "number of networks that the clusters are dealt to")
	command.Flags().StringVar(&flags.within, "range", "", "addresses for the lab, a /16 (default: the first that is free of 10.80.0.0/16 to 10.95.0.0/16)")
	command.Flags().DurationVar(&flags.timeout, "timeout", 3*time.Minute, "how long clusters may take to become ready")
	command.Flags().BoolVar(&flags.keep, "keep", false, "when something fails, leave what there is for a look")
	return command
}

// adopt takes the size of the lab that is there where no flag says another.
func adopt(request plan.Request, there plan.Lab, changed func(flag string) bool) plan.Request {
	if !changed("clusters") {
		request.Clusters = len(there.Clusters)
	}
	if !changed("nodes") {
		request.Nodes = len(there.Clusters[0].Nodes)
	}
	if !changed("networks") {
		request.Networks = there.Networks
	}
	return request
}

// check returns the address range that was asked for, zero when none was, or an error that names what is wrong with the flags.
func (f upFlags) check() (netip.Prefix, error) {
	if err := f.request.Check(); err != nil {
		return netip.Prefix{}, err
	}
	if f.timeout <= 0 {
		return netip.Prefix{}, fmt.Errorf("--timeout %s: clusters need some time, such as 3m", f.timeout)
	}
	if f.within == "" {
		return netip.Prefix{}, nil
	}
	within, err := netip.ParsePrefix(f.within)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("--range: %w; use a /16, such as 10.90.0.0/16", err)
	}
	return within, plan.CheckRange(within)
}

// checkMachine returns an error if the machine cannot carry the lab. It comes before the build, which takes minutes.
func checkMachine(machine host.Machine, store lab.Store, name string, within netip.Prefix) error {
	if err := machine.CheckRoot(asRoot()); err != nil {
		return err
	}
	if err := machine.Check(program()); err != nil {
		return err
	}
	// A lab that is there has its disk space and its addresses.
	if state, err := store.Load(name); err == nil && state.Complete {
		return nil
	}
	if err := machine.CheckSpace(store.Dir, host.LabSpace, "set ISTHMUS_LAB_DIR to a folder on another disk"); err != nil {
		return err
	}
	routes, err := machine.Routes()
	if err != nil {
		return err
	}
	_, err = lab.ChooseRange(within, name, routes)
	return err
}

func runUp(ctx context.Context, flags upFlags, machine host.Machine, say *progress.Printer) error {
	within, err := flags.check()
	if err != nil {
		return err
	}
	store := lab.DefaultStore()
	if err := checkMachine(machine, store, flags.request.Name, within); err != nil {
		return err
	}
	self, err := executable()
	if err != nil {
		return err
	}
	bin, images, err := build(ctx, machine, say)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, say)
	if err != nil {
		return err
	}
	defer unlock()
	up := lab.Up{
		Store: store, Request: flags.request, Range: within, Bin: bin, Images: images, Self: self,
		Timeout: flags.timeout, Keep: flags.keep, Command: program(), Say: say,
	}
	if err := up.Run(ctx); err != nil {
		return err
	}
	say.Say("use it:  export KUBECONFIG=%s", store.Kubeconfig(flags.request.Name))
	return nil
}

// executable is the file of this program, wherever it was called from.
func executable() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the lab's own program: %w", err)
	}
	self, err = filepath.EvalSymlinks(self)
	if err != nil {
		return "", fmt.Errorf("find the lab's own program: %w", err)
	}
	return self, nil
}

// build makes programs and images unless they are in the cache.
func build(ctx context.Context, machine host.Machine, say *progress.Printer) (bin string, images []string, err error) {
	cache, err := binaries.DefaultCache()
	if err != nil {
		return "", nil, err
	}
	bin, err = cache.Build(ctx, func() error {
		return machine.CheckSpace(cache.Dir, host.BuildSpace, "set ISTHMUS_CACHE to a folder on another disk")
	}, say)
	if err != nil {
		return "", nil, err
	}
	images, err = lab.BaseImages(bin)
	return bin, images, err
}
