package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/install"
	"github.com/isthmus-mesh/isthmus/internal/kube"
)

// installFlags are those of a command that changes a cluster by a document.
type installFlags struct {
	documentFlags
	yes     bool
	dryRun  bool
	timeout time.Duration
}

func newInstallCommand(g *globals) *cobra.Command {
	f := &installFlags{}
	cmd := &cobra.Command{
		Use:     "install",
		Aliases: []string{"apply"},
		Short:   "Install the mesh into a cluster, or change what is installed",
		Example: `  isthmus install --context="${CTX_CLUSTER1}" -f cluster1.yaml
  isthmus install --set profile=minimal -y`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInstall(cmd.Context(), g, f) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.BoolVarP(&f.yes, "skip-confirmation", "y", false, "do not ask")
	flags.BoolVar(&f.dryRun, "dry-run", false, "let the API server check everything and store nothing")
	flags.DurationVar(&f.timeout, "readiness-timeout", 5*time.Minute, "how long to wait for each component")
	flags.Bool("verify", false, "accepted for compatibility: readiness is always waited for")
	flags.BoolP("wait", "w", true, "accepted for compatibility: readiness is always waited for")
	_ = flags.MarkHidden("verify")
	_ = flags.MarkHidden("wait")
	return cmd
}

// noArguments refuses words that are no flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(fmt.Errorf("unexpected argument %q for %q", args[0], cmd.CommandPath()))
	}
	return nil
}

func runInstall(ctx context.Context, g *globals, f *installFlags) error {
	client, err := g.connect(ctx)
	if err != nil {
		return err
	}
	plan, parts, err := f.render(ctx, g)
	if err != nil {
		return err
	}
	warn(ctx, g.Err, client, plan, parts)
	question := fmt.Sprintf("This will install the Istio %s profile %q into the cluster. Proceed? (y/N) ", plan.Tag(), plan.Profile)
	if !f.yes && !f.dryRun && !confirm(ctx, g.Streams, question) {
		_, _ = fmt.Fprintln(g.Out, "Cancelled.")
		return silent(1)
	}
	run := &installation{client: client, plan: plan, dryRun: f.dryRun, timeout: f.timeout, progress: newProgress(g.Out)}
	if err := run.everything(ctx, parts); err != nil {
		return fmt.Errorf("failed to install manifests: %w", err)
	}
	return nil
}

// warn prints what of the cluster does not go well with the plan. It stops nothing, not even when the cluster does not tell.
func warn(ctx context.Context, out io.Writer, client *kube.Client, plan install.Plan, parts []install.Part) {
	around, err := client.Surroundings(ctx, plan.Namespace)
	lines := install.Warnings(plan, parts, around)
	if err != nil {
		lines = append(lines, err.Error())
	}
	for _, line := range lines {
		_, _ = fmt.Fprintln(out, "Warning:", line)
	}
}

// connect opens the cluster that the global flags name, and makes sure that it answers.
func (g *globals) connect(ctx context.Context) (*kube.Client, error) {
	client, err := kube.NewClient(g.access())
	if err != nil {
		return nil, err
	}
	if _, err := client.ServerVersion(ctx); err != nil {
		return nil, err
	}
	return client, nil
}

// installation is one run of install against a cluster.
type installation struct {
	client  *kube.Client
	plan    install.Plan
	dryRun  bool
	timeout time.Duration
	*progress
}

// everything installs the parts in waves, base, istiod, gateways, each when the one before it works, then prunes.
func (r *installation) everything(ctx context.Context, parts []install.Part) error {
	if err := r.namespaces(ctx, parts); err != nil {
		return err
	}
	for _, wave := range install.Waves(parts) {
		r.say("- Processing resources for %s.", wave.Title())
		if err := r.wave(ctx, wave); err != nil {
			r.say("✘ %s encountered an error: %v", wave.Title(), err)
			return err
		}
		for _, title := range wave.Titles {
			r.say("✔ %s installed", title)
		}
	}
	if err := r.prune(ctx, parts); err != nil {
		return err
	}
	if r.dryRun {
		r.say("✔ Dry run complete: nothing was changed")
		return nil
	}
	r.say("✔ Installation complete")
	return nil
}

// namespaces makes those that the parts stand in. The control plane's carries the network.
func (r *installation) namespaces(ctx context.Context, parts []install.Part) error {
	if r.dryRun {
		return nil
	}
	for _, name := range install.Namespaces(r.plan, parts) {
		network := ""
		if name == r.plan.Namespace && install.HasControlPlane(parts) {
			network = r.plan.Network
		}
		change, err := r.client.EnsureNamespace(ctx, name, network)
		if err != nil {
			return err
		}
		if change == kube.NamespaceLabelled {
			r.say("- Namespace %s was there without a network: labelled topology.istio.io/network=%s", name, network)
		}
	}
	return nil
}

// wave applies one wave and waits for it. Definitions come first: objects of the kinds that they define may follow.
func (r *installation) wave(ctx context.Context, wave install.Wave) error {
	definitions, others := install.SplitDefinitions(wave.Objects)
	for _, objects := range [][]*unstructured.Unstructured{definitions, others} {
		if len(objects) == 0 {
			continue
		}
		if err := r.client.Apply(ctx, objects, r.dryRun); err != nil {
			return err
		}
		if r.dryRun {
			continue
		}
		err := r.client.Wait(ctx, objects, r.timeout, func(pending []kube.Pending, elapsed time.Duration) {
			r.waiting("- Processing resources for "+wave.Title()+". Waiting for "+listed(pending), elapsed)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// listed names what is waited for, and why as far as it is known: all of a few, the first of many.
func listed(pending []kube.Pending) string {
	names := make([]string, len(pending))
	for i, p := range pending {
		names[i] = p.String()
		if p.Reason != "" {
			names[i] += " (" + strings.Join(strings.Fields(p.Reason), " ") + ")" // a message may have lines
		}
	}
	return firstOf(names, 4)
}

// removed is what became of an object that was deleted.
func removed(dryRun bool) string {
	if dryRun {
		return "Would remove"
	}
	return "Removed"
}

// prune removes what an earlier run of the same document made and this one did not.
func (r *installation) prune(ctx context.Context, parts []install.Part) error {
	found, err := r.client.Find(ctx, install.Kinds, install.MadeBy(r.plan))
	if err != nil {
		return err
	}
	stale := install.Stale(r.plan, parts, found)
	if len(stale) == 0 {
		return nil
	}
	r.say("- Pruning removed resources")
	return r.client.Delete(ctx, stale, r.dryRun, func(ref install.Ref) { r.say("  %s %s.", removed(r.dryRun), ref) })
}
