// Command images builds the project's container images into dist/images, without Docker, and pushes them to a registry.
//
//	go run ./tools/images build [NAME...]
//	go run ./tools/images push --hub REGISTRY/PATH [NAME...]
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/images"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// settings are the flags of both subcommands.
type settings struct {
	out   string
	tag   string
	envoy string
	hub   string
}

func newCommand() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use: "images", Short: "Build and push the project's container images, without Docker",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&s.out, "out", "", "folder of the tarballs (default: dist/images in the repository)")
	root.PersistentFlags().StringVar(&s.tag, "tag", version.Version, "tag of the images and version of the programs in them")
	root.PersistentFlags().StringVar(&s.envoy, "envoy", "", "Envoy binary (default: the pinned one, by tools/envoy/fetch.sh)")
	build := &cobra.Command{
		Use: "build [NAME...]", Short: "Write NAME.tar for every image, or for those named",
		RunE: func(cmd *cobra.Command, names []string) error {
			_, _, err := buildAll(cmd.Context(), cmd.OutOrStdout(), s, names)
			return err
		},
	}
	push := &cobra.Command{
		Use: "push [NAME...]", Short: "Build what is not up to date and push it",
		RunE: func(cmd *cobra.Command, names []string) error {
			return pushAll(cmd.Context(), cmd.OutOrStdout(), s, names)
		},
	}
	push.Flags().StringVar(&s.hub, "hub", "", "where to push, such as registry.example/team")
	if err := push.MarkFlagRequired("hub"); err != nil {
		panic(err)
	}
	root.AddCommand(build, push)
	return root
}

// buildAll builds the named images, or all, and prints a line for each.
func buildAll(ctx context.Context, out io.Writer, s settings, names []string) (images.Store, []images.Saved, error) {
	b, err := newBuilder(ctx, s)
	if err != nil {
		return images.Store{}, nil, err
	}
	chosen, err := choose(names)
	if err != nil {
		return b.store, nil, err
	}
	var all []images.Saved
	for _, r := range chosen {
		start := time.Now()
		image, err := r.describe(ctx, b)
		if err != nil {
			return b.store, all, fmt.Errorf("image %s: %w", r.name, err)
		}
		saved, err := b.store.Save(image)
		if err != nil {
			return b.store, all, err
		}
		state := "up to date"
		if saved.Built {
			state = "built"
		}
		fmt.Fprintf(out, "%-50s %6.1f MB  %-10s %5.1f s\n", saved.Ref, float64(saved.Size)/1e6, state, time.Since(start).Seconds())
		all = append(all, saved)
	}
	return b.store, all, nil
}

func pushAll(ctx context.Context, out io.Writer, s settings, names []string) error {
	store, all, err := buildAll(ctx, out, s, names)
	if err != nil {
		return err
	}
	for _, saved := range all {
		pushed, err := store.Push(ctx, saved, s.hub)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "pushed", pushed)
	}
	return nil
}

func choose(names []string) ([]recipe, error) {
	var known []string
	for _, r := range recipes {
		known = append(known, r.name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no image is called %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	var chosen []recipe
	for _, r := range recipes {
		if len(names) == 0 || slices.Contains(names, r.name) {
			chosen = append(chosen, r)
		}
	}
	return chosen, nil
}

// newBuilder finds the repository, from any folder inside of it.
func newBuilder(ctx context.Context, s settings) (*builder, error) {
	gomod, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	b := &builder{root: filepath.Dir(gomod), tag: s.tag, envoy: s.envoy}
	if s.out == "" {
		s.out = filepath.Join(b.root, "dist", "images")
	}
	b.work = filepath.Join(s.out, "work")
	b.store = images.Store{Dir: s.out, Hub: version.Hub, Tag: s.tag}
	b.compile = b.goBuild
	return b, nil
}
