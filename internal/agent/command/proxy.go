package command

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/agent"
	"github.com/isthmus-mesh/isthmus/internal/bootstrap"
)

func newProxy() *cobra.Command {
	o := agent.Defaults(os.Environ())
	var logs logFlags
	cmd := &cobra.Command{
		Use:   "proxy sidecar|router",
		Short: "Run Envoy and what it needs, as sidecar or as gateway",
		Args:  cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{
			string(bootstrap.Sidecar), string(bootstrap.Router),
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Kind = bootstrap.Kind(args[0])
			}
			log, err := logs.logger()
			if err != nil {
				return err
			}
			o.Log = log
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return agent.Run(ctx, o)
		},
	}
	proxyFlags(cmd, &o)
	logs.add(cmd.Flags())
	const why = "this agent has no such part"
	ignored(cmd.Flags(), why, "stsPort", "outlierLogPath", "tokenManagerPlugin", "templateFile", "meshConfig", "serviceCluster",
		"networkConfig", "log_target", "log_stacktrace_level", "log_caller", "log_rotate", "keepaliveInterval",
		"keepaliveMaxServerConnectionAge", "keepaliveTimeout", "vklog")
	ignoredSwitches(cmd.Flags(), why, "profiling")
	return cmd
}

func proxyFlags(cmd *cobra.Command, o *agent.Options) {
	f := cmd.Flags()
	f.StringVar(&o.Domain, "domain", "", "DNS domain of the pod's namespace (default NAMESPACE.svc.cluster.local)")
	f.StringVar(&o.LogLevel, "proxyLogLevel", o.LogLevel, "Envoy's log level")
	f.StringVar(&o.ComponentLogLevel, "proxyComponentLogLevel", "misc:error", "Envoy's log level by component")
	f.IntVar(&o.Concurrency, "concurrency", o.Concurrency, "Envoy's worker threads; below 0 for what ProxyConfig or the CPU limit says")

	f.StringVar(&o.Envoy, "envoy", o.Envoy, "path of the Envoy binary (env ENVOY_BIN)")
	f.StringVar(&o.ConfigDir, "config-path", o.ConfigDir, "folder for bootstrap, xDS socket and saved certificate")
	f.StringVar(&o.PodInfoDir, "pod-info", o.PodInfoDir, "folder with the downward API's files labels and annotations")
	f.StringVar(&o.TokenFile, "token-file", o.TokenFile, "service account token for the control plane")
	f.StringVar(&o.XDSRootFile, "xds-root", o.XDSRootFile, "roots of the control plane's certificate, or SYSTEM (env XDS_ROOT_CA)")
	f.StringVar(&o.CARootFile, "ca-root", o.CARootFile, "roots of the certificate authority's certificate, or SYSTEM (env CA_ROOT_CA)")
	f.StringVar(&o.SDSSocket, "sds-socket", o.SDSSocket, "Unix socket that secrets are served on")
	f.StringVar(&o.ResolvConf, "resolv-conf", o.ResolvConf, "resolver configuration with the pod's own name servers")
	f.StringSliceVar(&o.DNSAddresses, "dns-address", nil, "where DNS queries are answered (default 127.0.0.1:15053, and [::1]:15053 with IPv6)")
	f.StringVar(&o.StatusAddress, "status-address", o.StatusAddress, "where readiness, probes and metrics are served (default :15020, or ProxyConfig.statusPort)")
	f.StringVar(&o.Bind, "bind", "", "address of Envoy's own listeners for readiness and metrics (default 0.0.0.0)")
	f.Uint32Var(&o.AdminPort, "admin-port", o.AdminPort, "Envoy's admin interface, on loopback (default 15000, or ProxyConfig.proxyAdminPort)")
	f.Uint32Var(&o.ReadyPort, "ready-port", o.ReadyPort, "Envoy's listener for readiness")
	f.Uint32Var(&o.PrometheusPort, "prometheus-port", o.PrometheusPort, "Envoy's listener for its metrics")
	f.BoolVar(&o.PlainText, "plaintext-control-plane", false, "speak to the control plane without TLS; for tests, loopback only")
	if err := f.MarkHidden("plaintext-control-plane"); err != nil {
		panic(fmt.Sprintf("no such flag: %v", err))
	}
}
