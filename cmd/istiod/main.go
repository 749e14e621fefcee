// Command istiod is the control plane of one primary cluster: discovery, certificates, and injection.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmus-mesh/isthmus/internal/controlplane"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}

// newCommand makes the command. It runs the control plane under its own name and as `istiod discovery`, which charts and
// people's manifests say.
func newCommand() *cobra.Command {
	o := controlplane.FromEnvironment()
	debug := false
	run := func(cmd *cobra.Command, _ []string) error {
		level := slog.LevelInfo
		if debug {
			level = slog.LevelDebug
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
		return controlplane.Run(cmd.Context(), o, log)
	}
	root := &cobra.Command{
		Use:   "istiod",
		Short: "The control plane of an isthmus mesh",
		Example: `  # in a pod, as the chart starts it
  istiod discovery --monitoringAddr=:15014 --domain cluster.local

  # as a plain process against a cluster, for tests: plain-text xDS on loopback, no identity checks
  istiod --kubeconfig cluster1.yaml --cluster-id cluster1 --test-plaintext-xds 127.0.0.1:15010`,
		Version: version.Version, Args: cobra.NoArgs, RunE: run, SilenceUsage: true, SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "kubeconfig of the own cluster (default: the pod's service account)")
	flags.StringVar(&o.Context, "context", o.Context, "context of the kubeconfig")
	flags.StringVar(&o.Cluster, "cluster-id", o.Cluster, "name of the own cluster; $CLUSTER_ID")
	flags.StringVar(&o.Namespace, "namespace", o.Namespace, "namespace of the control plane; $POD_NAMESPACE")
	flags.StringVar(&o.Revision, "revision", o.Revision, "revision of the control plane; $REVISION")
	flags.StringVar(&o.Domain, "domain", o.Domain, "suffix of service names")
	flags.StringVar(&o.GRPCAddress, "secureGRPCAddr", o.GRPCAddress, "TLS address of discovery and certificates; empty switches it off")
	flags.StringVar(&o.WebhookAddress, "httpsAddr", o.WebhookAddress, "HTTPS address of the injection webhook; empty switches it off")
	flags.StringVar(&o.HTTPAddress, "httpAddr", o.HTTPAddress, "HTTP address of /ready and debugging; empty switches it off")
	flags.StringVar(&o.MonitoringAddress, "monitoringAddr", o.MonitoringAddress, "HTTP address of metrics, version and debugging; empty switches it off")
	flags.StringVar(&o.PlaintextAddress, "test-plaintext-xds", "", "for tests only: loopback address of xDS without TLS, which also switches identity checks, certificates and injection off")
	flags.BoolVar(&debug, "debug", false, "log more")
	ignored(flags)
	root.AddCommand(&cobra.Command{
		Use: "discovery", Short: "Run the control plane", Args: cobra.NoArgs, RunE: run, SilenceUsage: true,
	})
	return root
}

// ignored takes flags that manifests for Istio's control plane set and that have no meaning here.
func ignored(flags *pflag.FlagSet) {
	const why = "accepted and ignored: for manifests that set it"
	for _, name := range []string{
		"log_output_level", "log_stacktrace_level", "log_caller", "log_target", "log_rotate",
		"keepaliveInterval", "keepaliveTimeout", "keepaliveMaxServerConnectionAge", "ctrlz_address", "ctrlz_port", "registries", "resync",
	} {
		flags.String(name, "", why)
	}
	for _, name := range []string{"log_as_json", "profile"} {
		flags.Bool(name, false, why)
	}
}
