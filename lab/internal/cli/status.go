package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
)

func newStatus() *cobra.Command {
	var name, output string
	command := &cobra.Command{
		Use:   "status",
		Short: "Show how a lab is",
		Long: `Show how a lab is: its clusters, their networks, nodes and addresses, and the memory that all of it uses.

The exit code is 0 when all clusters are ready, 1 when not or when there is no such lab.`,
		Example: example("status", "status --name two -o json"),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("-o %s: the only other format is json", output)
			}
			state, err := load(name)
			if err != nil {
				return err
			}
			report, err := lab.Examine(c.Context(), lab.DefaultStore(), state)
			if err != nil {
				return err
			}
			if err := printReport(c.OutOrStdout(), report, output); err != nil {
				return err
			}
			if !report.Ready() {
				return exitCode(1)
			}
			return nil
		},
	}
	addName(command, &name)
	command.Flags().StringVarP(&output, "output", "o", "", "json for scripts")
	return command
}

func printReport(out io.Writer, report lab.Report, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tNETWORK\tREADY\tNODE\tADDRESS\tZONE\tPODS\tSERVICES\tLOAD BALANCERS")
	for _, c := range report.Clusters {
		for _, n := range c.Nodes {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
				c.Name, c.Network, yes(n.Ready), n.Name, n.Address, n.Zone, c.PodCIDR, c.ServiceCIDR, c.LoadBalancerRange)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range report.Clusters {
		if c.Reason != "" {
			fmt.Fprintf(out, "%s is not ready: %s\n", c.Name, c.Reason)
		}
	}
	_, err := fmt.Fprintf(out, "memory: %d MiB\nkubeconfig: %s\n", report.MemoryMiB, report.Kubeconfig)
	return err
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
