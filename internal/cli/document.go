package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/charts"
	"github.com/isthmus-mesh/isthmus/internal/install"
)

// documentFlags say which IstioOperator a command works on.
type documentFlags struct {
	files     []string
	set       []string
	manifests string
	oldCharts string // the name that --manifests had before
	revision  string
	force     bool
}

func (f *documentFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.files, "filename", "f", nil, "IstioOperator file; may be repeated, later ones win; - is standard input")
	flags.StringArrayVarP(&f.set, "set", "s", nil, "set a field, as path=value relative to spec; may be repeated")
	flags.StringVarP(&f.manifests, "manifests", "d", "", "folder with charts and profiles to use instead of the built-in ones")
	flags.StringVar(&f.oldCharts, "charts", "", "old name of --manifests")
	_ = flags.MarkHidden("charts")
	flags.StringVarP(&f.revision, "revision", "r", "", "revision of the control plane")
	flags.BoolVar(&f.force, "force", false, "go on although the document has problems")
}

// plan reads the files and resolves them. Problems go to standard error, all of them, and stop unless forced.
func (f *documentFlags) plan(ctx context.Context, g *globals) (install.Plan, fs.FS, error) {
	sources, err := readSources(f.files, interruptible{ctx, g.In})
	if err != nil {
		return install.Plan{}, nil, err
	}
	set := f.set
	if f.revision != "" {
		set = append(append([]string(nil), set...), "revision="+f.revision)
	}
	chartFiles, profiles, err := f.charts()
	if err != nil {
		return install.Plan{}, nil, err
	}
	plan, err := install.Resolve(install.Input{
		Files: sources, Set: set, Namespace: g.istioNamespace, Profiles: profiles, ProfileFile: os.ReadFile,
	})
	if err != nil {
		return install.Plan{}, nil, err
	}
	for _, warning := range plan.Warnings {
		_, _ = fmt.Fprintln(g.Err, "Warning:", warning)
	}
	if len(plan.Problems) > 0 {
		if err := f.report(g, plan); err != nil {
			return install.Plan{}, nil, err
		}
	}
	if path := plan.Spec.InstallPackagePath; path != "" && f.manifests == "" {
		chartFiles = os.DirFS(path)
	}
	return plan, chartFiles, nil
}

// report prints what is wrong with a document; it is an error unless --force was given.
func (f *documentFlags) report(g *globals, plan install.Plan) error {
	lines := make([]string, len(plan.Problems))
	for i, problem := range plan.Problems {
		lines[i] = problem.String()
	}
	if !f.force {
		return fmt.Errorf("the configuration has %s; --force installs it nevertheless:\n  %s", count(len(lines), "problem", "problems"), strings.Join(lines, "\n  "))
	}
	for _, line := range lines {
		_, _ = fmt.Fprintln(g.Err, "Warning:", line)
	}
	return nil
}

// charts is where charts and profiles come from: the binary, or a folder given by the user.
func (f *documentFlags) charts() (chartFiles, profiles fs.FS, err error) {
	dir := f.manifests
	if dir == "" {
		dir = f.oldCharts
	}
	chartFiles = charts.FS
	if dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "istiod", "Chart.yaml")); err != nil {
			return nil, nil, fmt.Errorf("--manifests %s: %w", dir, err)
		}
		chartFiles = os.DirFS(dir)
	}
	profiles, err = fs.Sub(charts.FS, "profiles")
	if _, statErr := fs.Stat(chartFiles, "profiles/default.yaml"); statErr == nil {
		profiles, err = fs.Sub(chartFiles, "profiles")
	}
	return chartFiles, profiles, err
}

// render is plan, and the objects that it makes.
func (f *documentFlags) render(ctx context.Context, g *globals) (install.Plan, []install.Part, error) {
	plan, chartFiles, err := f.plan(ctx, g)
	if err != nil {
		return plan, nil, err
	}
	parts, err := install.Render(chartFiles, plan)
	return plan, parts, err
}

// readSources reads the files in their order; - is standard input.
func readSources(files []string, stdin io.Reader) ([]install.Source, error) {
	var sources []install.Source
	for i, name := range files {
		if name == "-" {
			if i != len(files)-1 {
				return nil, usageError(errors.New("-f - must be the last file"))
			}
			data, err := io.ReadAll(stdin)
			if err != nil {
				return nil, fmt.Errorf("read standard input: %w", err)
			}
			sources = append(sources, install.Source{Name: "standard input", Data: data})
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, install.Source{Name: name, Data: data})
	}
	return sources, nil
}
