package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/check"
)

func newRemoteClustersCommand(g *globals) *cobra.Command {
	var revision, output string
	cmd := &cobra.Command{
		Use:     "remote-clusters",
		Short:   "List the clusters that each istiod follows, and how well",
		Example: `  istioctl remote-clusters --context="${CTX_CLUSTER1}"`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"table", "wide", "json", "yaml"}, output) {
				return usageError(fmt.Errorf("--output %q: use table, wide, json or yaml", output))
			}
			cluster, err := g.ownCluster()
			if err != nil {
				return err
			}
			rows, err := check.RemoteClusters(cmd.Context(), cluster, g.istioNamespace, revision)
			if err != nil && len(rows) == 0 {
				return err
			}
			if printErr := printRows(g.Out, output, rows, func() string { return remoteClustersText(rows, output == "wide", time.Now()) }); printErr != nil {
				return printErr
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&revision, "revision", "r", "", "only this revision of the control plane")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, wide, json or yaml")
	completeOutput(cmd, "table", "wide", "json", "yaml")
	return cmd
}

// ownCluster opens the cluster that --context names.
func (g *globals) ownCluster() (check.Cluster, error) {
	return check.Connect(g.access())
}

// remoteClustersText has Istio's columns, and with wide those that say since when and why.
func remoteClustersText(rows []check.RemoteCluster, wide bool, now time.Time) string {
	header := []string{"NAME", "SECRET", "STATUS", "ISTIOD", "REVISION"}
	if wide {
		header = append(header, "STATE", "SINCE", "LAST EVENT", "REASON")
	}
	var lines [][]string
	for _, r := range rows {
		line := []string{r.Cluster, r.Secret, r.Status, r.Istiod, r.Revision}
		if wide {
			since := r.Since
			if r.StaleSince != nil {
				since = *r.StaleSince
			}
			lastEvent := "never"
			if r.LastEvent != nil {
				lastEvent = ago(*r.LastEvent, now)
			}
			line = append(line, cmp.Or(r.State, "-"), ago(since, now), lastEvent, cmp.Or(r.Reason, "-"))
		}
		lines = append(lines, line)
	}
	return columns(header, lines)
}

// ago is how long something has been so.
func ago(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return max(now.Sub(since), 0).Round(time.Second).String()
}

// columns aligns rows under a header.
func columns(header []string, rows [][]string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 5, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // a strings.Builder takes everything
	}
	_ = w.Flush()
	return text.String()
}

// printRows writes rows in the form that was asked for; table makes the text for people.
func printRows[T any](out io.Writer, form string, rows []T, table func() string) error {
	if rows == nil {
		rows = []T{} // an empty list, not null
	}
	var text []byte
	var err error
	switch form {
	case "json":
		text, err = json.MarshalIndent(rows, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(rows)
	default:
		text = []byte(table())
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}
