package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/install"
	"github.com/isthmus-mesh/isthmus/internal/kube"
)

// uninstallFlags say what to remove: everything, a revision, or what a file installs.
type uninstallFlags struct {
	documentFlags
	purge  bool
	yes    bool
	dryRun bool
}

func newUninstallCommand(g *globals) *cobra.Command {
	f := &uninstallFlags{}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the mesh, or a part of it, from a cluster",
		Long: `Remove the mesh, or a part of it, from a cluster.

The namespace, the Secret cacerts and remote Secrets stay. --purge also removes the definitions of Istio's API, and with
them every Gateway, VirtualService and so on in the cluster; the other forms leave them.`,
		Example: `  isthmus uninstall --purge
  isthmus uninstall --revision canary
  isthmus uninstall -f cluster1.yaml`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !f.purge && f.revision == "" && len(f.files) == 0 {
				return usageError(errors.New("at least one of the --revision (or --filename) or --purge flags must be set"))
			}
			if f.purge && (f.revision != "" || len(f.files) > 0) {
				return usageError(errors.New("--purge removes everything: it does not go with --revision or --filename"))
			}
			return runUninstall(cmd.Context(), g, f)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.purge, "purge", false, "remove everything, also the definitions of Istio's API")
	flags.BoolVarP(&f.yes, "skip-confirmation", "y", false, "do not ask")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only say what would be removed")
	flags.BoolP("verbose", "v", false, "accepted for compatibility: every object is named")
	_ = flags.MarkHidden("verbose")
	return cmd
}

func runUninstall(ctx context.Context, g *globals, f *uninstallFlags) error {
	client, err := g.connect(ctx)
	if err != nil {
		return err
	}
	selected, err := f.selected(ctx, g, client)
	if err != nil {
		return err
	}
	if len(selected.refs) == 0 {
		_, _ = fmt.Fprintln(g.Out, "No matching Istio resources found: nothing was removed.")
		return nil
	}
	warning, err := selected.warning(func(revision string) ([]string, error) { return client.InjectedPods(ctx, revision) })
	if err != nil {
		return err
	}
	if warning != "" && !f.dryRun {
		_, _ = fmt.Fprintln(g.Out, warning)
		if !f.yes && !confirm(ctx, g.Streams, "Proceed? (y/N) ") {
			_, _ = fmt.Fprintln(g.Out, "Cancelled.")
			return silent(1)
		}
	}
	err = client.Delete(ctx, selected.refs, f.dryRun, func(ref install.Ref) { _, _ = fmt.Fprintf(g.Out, "  %s %s.\n", removed(f.dryRun), ref) })
	if err != nil {
		return fmt.Errorf("failed to uninstall: %w", err)
	}
	if f.dryRun {
		_, _ = fmt.Fprintln(g.Out, "✔ Dry run complete: nothing was changed")
		return nil
	}
	// A definition goes when the last object of its kind has gone; an installation before that would fail.
	if err := client.WaitGone(ctx, selected.refs, install.CRDKind.Kind, time.Minute); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(g.Out, "✔ Uninstall complete")
	return nil
}

// selection is what to remove, in the order of deletion.
type selection struct {
	refs []install.Ref
	// revision of the control plane that it belongs to; empty when everything goes.
	revision string
}

// selected finds what the flags name.
func (f *uninstallFlags) selected(ctx context.Context, g *globals, client *kube.Client) (selection, error) {
	kinds := install.Kinds
	if f.purge {
		kinds = append(slices.Clone(kinds), install.CRDKind)
	}
	found, err := client.Find(ctx, kinds, label.Component)
	if err != nil || f.purge {
		return selection{refs: refsOf(found)}, err
	}
	if len(f.files) > 0 {
		plan, parts, err := f.render(ctx, g)
		if err != nil {
			return selection{}, err
		}
		return selection{install.Installed(plan, parts, found), plan.RevisionLabel()}, nil
	}
	refs := install.OfRevision(f.revision, found)
	if len(refs) == 0 {
		return selection{}, fmt.Errorf("could not find target revision %s", f.revision)
	}
	return selection{refs, f.revision}, nil
}

func refsOf(found []install.Found) []install.Ref {
	var refs []install.Ref
	for _, f := range found {
		refs = append(refs, f.Ref)
	}
	return refs
}

// warning says what breaks; empty when nothing does, and nobody needs to be asked. It asks injected for the pods of a revision.
func (s selection) warning(injected func(revision string) ([]string, error)) (string, error) {
	if s.revision == "" {
		return "All Istio resources will be pruned from the cluster", nil
	}
	text := ""
	isIstiod := func(r install.Ref) bool {
		return r.Kind == "Deployment" && (r.Name == "istiod" || r.Name == "istiod-"+s.revision)
	}
	if slices.ContainsFunc(s.refs, isIstiod) {
		pods, err := injected(s.revision)
		if err != nil {
			return "", err
		}
		if len(pods) > 0 {
			text = fmt.Sprintf("There are still %s of revision %s: %s. They lose their control plane.", count(len(pods), "proxy", "proxies"), s.revision, firstOf(pods, 5))
		}
	}
	for _, r := range s.refs {
		if r.Kind == "Deployment" && !isIstiod(r) {
			text = joinLines(text, fmt.Sprintf("Gateway %s in namespace %s will be removed.", r.Name, r.Namespace))
		}
	}
	return text, nil
}
