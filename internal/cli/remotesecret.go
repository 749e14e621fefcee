package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/isthmus-mesh/isthmus/internal/kube"
	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

func newCreateRemoteSecretCommand(g *globals) *cobra.Command {
	o := remotesecret.Options{Type: remotesecret.TypeRemote, AuthType: remotesecret.AuthBearerToken}
	secretType := choice{value: string(o.Type), of: []string{string(remotesecret.TypeRemote), string(remotesecret.TypeConfig)}}
	authType := choice{value: string(o.AuthType), of: []string{string(remotesecret.AuthBearerToken), string(remotesecret.AuthPlugin)}}
	cmd := &cobra.Command{
		Use:   "create-remote-secret",
		Short: "Print a Secret that gives other clusters' control planes access to this one",
		Long: `Print a Secret that gives other clusters' control planes access to this cluster's API server.

Only the Secret's YAML goes to standard output, so that it can be piped into the other cluster.`,
		Example: `  isthmus create-remote-secret --context=cluster1 --name=cluster1 | kubectl apply -f - --context=cluster2`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Type, o.AuthType = remotesecret.Type(secretType.value), remotesecret.AuthType(authType.value)
			return createRemoteSecret(cmd, g, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Cluster, "name", "", "name of the cluster in the mesh (default: the UID of its namespace kube-system)")
	flags.Var(&secretType, "type", "who reads the Secret: another primary (remote) or an external control plane (config)")
	flags.StringVar(&o.ServiceAccount, "service-account", "",
		"account whose token the Secret holds (default: istio-reader-service-account, or istiod for type config)")
	flags.BoolVar(&o.CreateServiceAccount, "create-service-account", true, "make the account and its rights when it is missing")
	flags.StringVar(&o.SecretName, "secret-name", "", "token Secret to use (default: one of the account, or a new one)")
	flags.StringVar(&o.Server, "server", "", "URL at which other clusters reach the API server (default: as in the kubeconfig)")
	flags.StringVar(&o.TLSServerName, "tls-server-name", "", "name in the API server's certificate, where it differs from the URL")
	flags.Var(&authType, "auth-type", "how the reader proves who it is")
	flags.StringVar(&o.AuthPluginName, "auth-plugin-name", "", "name of the auth provider, for --auth-type plugin")
	flags.StringToStringVar(&o.AuthPluginConfig, "auth-plugin-config", nil, "settings of the auth provider, key=value")
	// Older releases read the account's rights from a folder of charts; scripts may still name one.
	flags.StringP("manifests", "d", "", "accepted for compatibility; the rights come with this program")
	_ = flags.MarkHidden("manifests")
	return cmd
}

// createRemoteSecret prints the Secret; warnings go to standard error, since standard output is a pipe's.
func createRemoteSecret(cmd *cobra.Command, g *globals, o remotesecret.Options) error {
	o.Namespace = g.istioNamespace
	if g.namespace != "" {
		o.Namespace = g.namespace
	}
	config, err := kube.Config(g.access())
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("open cluster %s: %w", config.Host, err)
	}
	o.Endpoint = clientcmdapi.Cluster{Server: config.Host, TLSServerName: config.ServerName}
	secret, err := remotesecret.Create(cmd.Context(), client, o)
	if err != nil {
		return err
	}
	body, err := remotesecret.YAML(secret)
	if err != nil {
		return err
	}
	server := o.Server
	if server == "" {
		server = config.Host
	}
	if remotesecret.ReachableOnlyHere(server) {
		fmt.Fprintf(g.Err, "warn: other clusters cannot reach %s, since it names the local host; "+
			"give an address that they can reach with --server\n", server)
	}
	_, err = g.Out.Write(body)
	return err
}

// choice is a flag that takes one of a few words.
type choice struct {
	value string
	of    []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Type() string { return strings.Join(c.of, "|") }

func (c *choice) Set(value string) error {
	if !slices.Contains(c.of, value) {
		return fmt.Errorf("must be one of %s", strings.Join(c.of, ", "))
	}
	c.value = value
	return nil
}
