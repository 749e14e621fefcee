// Package cli is the command line: one file a command. A command reads flags, validates, calls one function and prints.
// It holds no logic of the mesh itself and never exits the process.
package cli

import (
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/kube"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// Streams are what a command reads and writes. Results go to Out, everything else to Err, since pipes depend on it.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// globals are the flags that every command takes, before or after its name.
type globals struct {
	Streams
	kubeconfig     string
	context        string
	namespace      string
	istioNamespace string
	impersonate    rest.ImpersonationConfig
	timeout        time.Duration
}

// access is the cluster that the flags name, and how to talk to it.
func (g *globals) access() kube.Access {
	return kube.Access{Kubeconfig: g.kubeconfig, Context: g.context, Impersonate: g.impersonate, Timeout: g.timeout, Warnings: g.Err}
}

// New returns the root command under the name that it was called by: isthmus, or istioctl.
func New(calledAs string, streams Streams) *cobra.Command {
	g := &globals{Streams: streams}
	root := &cobra.Command{
		Use:   filepath.Base(calledAs),
		Short: "Join Kubernetes clusters into one service mesh",
		Example: `  isthmus install --context="${CTX_CLUSTER1}" -f cluster1.yaml
  isthmus create-remote-secret --context="${CTX_CLUSTER1}" --name=cluster1 | kubectl apply -f - --context="${CTX_CLUSTER2}"
  isthmus verify --contexts="${CTX_CLUSTER1},${CTX_CLUSTER2}"`,
		Version:       version.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          subcommandOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	flags := root.PersistentFlags()
	flags.StringVarP(&g.kubeconfig, "kubeconfig", "c", "", "kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
	flags.StringVar(&g.context, "context", "", "context of the kubeconfig to use (default: its current context)")
	flags.StringVarP(&g.namespace, "namespace", "n", "", "namespace that the command is about")
	flags.StringVarP(&g.istioNamespace, "istioNamespace", "i", "istio-system", "namespace of the control plane")
	flags.StringVar(&g.impersonate.UserName, "as", "", "user to act as")
	flags.StringVar(&g.impersonate.UID, "as-uid", "", "UID to act as")
	flags.StringArrayVar(&g.impersonate.Groups, "as-group", nil, "group to act as; may be repeated")
	flags.DurationVar(&g.timeout, "kubeclient-timeout", 15*time.Second, "how long one request to an API server may take")
	flags.String("vklog", "", "accepted for compatibility: requests are not logged")
	_ = flags.MarkHidden("vklog")
	_ = root.RegisterFlagCompletionFunc("context", g.completeContexts)
	for _, newCommand := range commands {
		root.AddCommand(newCommand(g))
	}
	return root
}

// commands makes the subcommands, in the order that help shows them.
var commands = []func(*globals) *cobra.Command{
	newCertCommand,
	newInstallCommand,
	newManifestCommand,
	newUninstallCommand,
	newVersionCommand,
	newCreateRemoteSecretCommand,
	newRemoteClustersCommand,
	newProxyStatusCommand,
	newVerifyCommand,
	newLabCommand,
	newExperimentalCommand,
}
