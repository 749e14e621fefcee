package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/check"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	contexts []string
	service  string
	port     int
	timeout  time.Duration
	output   string
}

func newVerifyCommand(g *globals) *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Try out the mesh: credentials, trust, discovery and real requests between all clusters",
		Long: `Try out the mesh between all clusters, in every direction.

Reads each cluster, then puts a short-lived probe with a sidecar into namespace ` + check.ProbeNamespace + ` of each, sends requests
between them, and removes the namespace. Every failure comes with its reason and a command that mends it. The exit code is 0 when
nothing failed; notes and skipped checks do not count.`,
		Example: `  istioctl verify --contexts="${CTX_CLUSTER1},${CTX_CLUSTER2}"`,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runVerify(cmd, g, f) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.contexts, "contexts", nil, "contexts of the clusters (default: all of the kubeconfig that run istiod)")
	flags.StringVar(&f.service, "service", "helloworld", "service of the sample, in the namespace that -n gives (default sample)")
	flags.IntVar(&f.port, "port", 5000, "port of the sample's service")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "how long all checks together may take")
	flags.StringVarP(&f.output, "output", "o", "table", "table or json")
	completeOutput(cmd, "table", "json")
	return cmd
}

func runVerify(cmd *cobra.Command, g *globals, f *verifyFlags) error {
	if f.output != "table" && f.output != "json" {
		return usageError(fmt.Errorf("--output %q: use table or json", f.output))
	}
	options := check.Options{
		Contexts: f.contexts, Namespace: g.istioNamespace, Timeout: f.timeout, Connect: g.connectTo,
		Sample:   check.Sample{Namespace: cmp.Or(g.namespace, "sample"), Service: f.service, Port: f.port},
		Progress: func(text string) { _, _ = fmt.Fprintln(g.Err, "… "+text) },
	}
	if len(options.Contexts) == 0 && g.context != "" {
		options.Contexts = []string{g.context}
	}
	if len(options.Contexts) == 0 {
		all, err := check.Contexts(g.kubeconfig)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errors.New("the kubeconfig has no contexts; name one with --kubeconfig or $KUBECONFIG")
		}
		options.Candidates = all
	}
	report, err := check.Verify(cmd.Context(), options)
	if err != nil && len(report.Checks) == 0 {
		for _, left := range report.LeftOut {
			_, _ = fmt.Fprintf(g.Err, "left out %s: %s\n", left.Context, left.Reason)
		}
		return err
	}
	if printErr := printReport(g.Out, report, f.output); printErr != nil {
		return printErr
	}
	if err != nil {
		return fmt.Errorf("the checks were interrupted: %w", err)
	}
	if report.Count(check.Failed) > 0 {
		return silent(1)
	}
	return nil
}

// connectTo opens the cluster of a context.
func (g *globals) connectTo(context string) (check.Cluster, error) {
	access := g.access()
	access.Context, access.Warnings = context, nil // warnings of several clusters would say nothing of whose they are
	return check.Connect(access)
}

func printReport(out io.Writer, r check.Report, output string) error {
	if output == "json" {
		text, err := json.MarshalIndent(struct {
			OK bool `json:"ok"`
			check.Report
		}{r.Count(check.Failed) == 0, r}, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, string(text))
		return err
	}
	_, err := io.WriteString(out, reportText(r))
	return err
}

// reportText is the report for people: a row a check, and below a failure what to do.
func reportText(r check.Report) string {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "RESULT\tCHECK\tFROM\tTO\tTOOK\tWHAT") // a strings.Builder takes everything
	for _, c := range r.Checks {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", mark(c.State), c.Check, c.From, cmp.Or(c.To, "-"), took(c.Took), c.Reason)
	}
	_ = w.Flush()
	lines := strings.SplitAfter(table.String(), "\n")
	var text strings.Builder
	text.WriteString(lines[0])
	for i, c := range r.Checks {
		text.WriteString(lines[i+1])
		if c.State == check.Failed && c.Fix != "" {
			text.WriteString("         fix: " + c.Fix + "\n")
		}
	}
	text.WriteString("\n")
	for _, left := range r.LeftOut {
		_, _ = fmt.Fprintf(&text, "Context %s was left out: %s.\n", left.Context, left.Reason)
	}
	text.WriteString(summary(r) + "\n")
	return text.String()
}

func summary(r check.Report) string {
	notes := ""
	if n := r.Count(check.Note); n > 0 {
		notes += ", " + count(n, "note", "notes")
	}
	if n := r.Count(check.Skipped); n > 0 {
		notes += fmt.Sprintf(", %d skipped", n)
	}
	clusters := count(len(r.Clusters), "cluster", "clusters")
	if n := r.Count(check.Failed); n > 0 {
		return fmt.Sprintf("✘ %d of %d checks failed in %s%s.", n, len(r.Checks), clusters, notes)
	}
	return fmt.Sprintf("✔ %s passed in %s%s.", count(r.Count(check.OK), "check", "checks"), clusters, notes)
}

func mark(s check.State) string {
	switch s {
	case check.OK:
		return "✔ ok"
	case check.Failed:
		return "✘ FAIL"
	case check.Note:
		return "! note"
	case check.Skipped:
		return "- skip"
	default:
		return string(s)
	}
}

// took is a duration where it matters.
func took(d time.Duration) string {
	if d < time.Millisecond {
		return "-"
	}
	return d.Round(time.Millisecond).String()
}
