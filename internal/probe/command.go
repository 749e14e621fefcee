package probe

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// NewCommand returns the hidden command `probe` of the agent: `probe serve` and `probe call URL`.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "probe",
		Short:  "Serve and send the requests of isthmus verify",
		Hidden: true,
	}
	cmd.AddCommand(newServeCommand(), newCallCommand())
	return cmd
}

func newServeCommand() *cobra.Command {
	var cluster, address string
	cmd := &cobra.Command{
		Use:          "serve",
		Short:        "Answer requests with who called",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pod, err := os.Hostname()
			if err != nil {
				return fmt.Errorf("find the pod's name: %w", err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return Serve(ctx, address, Handler(cluster, pod))
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "name of the cluster, as answers give it")
	cmd.Flags().StringVar(&address, "address", net.JoinHostPort("", strconv.Itoa(Port)), "where to listen")
	return cmd
}

func newCallCommand() *cobra.Command {
	var p Plan
	cmd := &cobra.Command{
		Use:          "call URL",
		Short:        "Send requests, each on a new connection, and print what became of them as JSON",
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.URL = args[0]
			encoder := json.NewEncoder(cmd.OutOrStdout())
			return encoder.Encode(p.Run(cmd.Context()))
		},
	}
	cmd.Flags().IntVarP(&p.Count, "count", "n", 1, "how many requests")
	cmd.Flags().DurationVar(&p.Timeout, "timeout", 5*time.Second, "how long one request may take")
	cmd.Flags().DurationVar(&p.Patience, "patience", 0, "for how long failed requests are forgiven")
	return cmd
}
