package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/certs"
)

// newCertCommand makes the command that the guides' Makefile (tools/certs) is a front of. It works on files alone.
func newCertCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make and check the certificates that clusters of a mesh trust each other by",
		Long: `Make and check the certificates that clusters of a mesh trust each other by.

All clusters of a mesh share one root. Each has an intermediate authority of its own below it, which its control
plane reads from Secret cacerts. These commands work on files only; they never talk to a cluster.`,
		Example: `  isthmus cert intermediate cluster1
  isthmus cert intermediate cluster2
  kubectl create secret generic cacerts -n istio-system --from-file=cluster1/ca-cert.pem \
    --from-file=cluster1/ca-key.pem --from-file=cluster1/root-cert.pem --from-file=cluster1/cert-chain.pem`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCertRootCommand(g), newCertIntermediateCommand(g), newCertWorkloadCommand(g),
		newCertShowCommand(g), newCertVerifyChainCommand(g))
	return cmd
}

// usageArgs makes wrong arguments exit as misuse.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return usageError(check(cmd, args)) }
}

// authorityFlags are what a new authority can be told. The names follow the Makefile's variables (ROOTCA_DAYS and so on).
type authorityFlags struct {
	days         int
	keySize      int
	organization string
	commonName   string
}

func (f *authorityFlags) add(cmd *cobra.Command, prefix, commonName string) {
	flags := cmd.Flags()
	flags.IntVar(&f.days, prefix+"days", 3650, "days that it is valid for")
	flags.IntVar(&f.keySize, prefix+"key-size", int(certs.RSA4096), "bits of its key: 2048 to 8192 for RSA, 256 or 384 for ECDSA")
	flags.StringVar(&f.organization, prefix+"org", "Istio", "organization in its subject")
	flags.StringVar(&f.commonName, prefix+"cn", commonName, "common name in its subject")
}

func (f *authorityFlags) template() (certs.Template, error) {
	if f.days < 1 {
		return certs.Template{}, usageError(fmt.Errorf("%d days: want 1 or more", f.days))
	}
	return certs.Template{
		Organization: f.organization, CommonName: f.commonName, KeySize: certs.KeySize(f.keySize),
		TTL: time.Duration(f.days) * 24 * time.Hour, Now: time.Now(), Random: rand.Reader,
	}, nil
}

func newCertRootCommand(g *globals) *cobra.Command {
	var dir string
	var flags authorityFlags
	cmd := &cobra.Command{
		Use:     "root",
		Short:   "Make the mesh's root (root-cert.pem, root-key.pem); one that is there stays",
		Example: "  isthmus cert root --days 3650",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			template, err := flags.template()
			if err != nil {
				return err
			}
			_, err = certFolder{dir, g.Out}.root(template)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory of the root")
	flags.add(cmd, "", "Root CA")
	return cmd
}

func newCertIntermediateCommand(g *globals) *cobra.Command {
	var dir string
	var dnsNames []string
	var root, own authorityFlags
	cmd := &cobra.Command{
		Use:     "intermediate NAME",
		Aliases: []string{"cacerts"},
		Short:   "Make the authority of a cluster: the four files of Secret cacerts, in directory NAME",
		Long: `Make the authority of a cluster: ca-cert.pem, ca-key.pem, root-cert.pem and cert-chain.pem in directory NAME.

The root is root-cert.pem and root-key.pem of the working directory; it is made when there is none. What is there
is never overwritten: a second run for the same NAME changes nothing.`,
		Example: "  isthmus cert intermediate cluster1\n  isthmus cert cacerts cluster2 --days 730",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			rootTemplate, rootErr := root.template()
			template, err := own.template()
			if err := errors.Join(rootErr, err); err != nil {
				return usageError(err)
			}
			template.DNSNames = dnsNames
			_, err = certFolder{dir, g.Out}.intermediate(args[0], rootTemplate, template)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory of the root, in which NAME is made")
	cmd.Flags().StringSliceVar(&dnsNames, "san-dns", []string{"istiod.istio-system.svc"}, "DNS names in the certificate")
	own.add(cmd, "", "Intermediate CA")
	root.add(cmd, "root-", "Root CA")
	return cmd
}

func newCertWorkloadCommand(g *globals) *cobra.Command {
	var dir, authority, domain string
	order := workloadOrder{}
	cmd := &cobra.Command{
		Use:   "workload NAMESPACE",
		Short: "Make a workload's certificate by hand, in directory NAMESPACE",
		Long: `Make a workload's certificate by hand: key.pem, workload-cert.pem, workload-cert-chain.pem and root-cert.pem in
directory NAMESPACE. It is signed by the intermediate of that directory, or of the one that --authority names; the
intermediate is made when there is none. What is there is never overwritten.`,
		Example: "  isthmus cert workload sample --service-account curl --authority cluster1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			order.namespace = args[0]
			if authority == "" {
				authority = args[0]
			}
			return certFolder{dir, g.Out}.workload(authority, domain, order)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", ".", "directory of the root, in which NAMESPACE is made")
	flags.StringVar(&authority, "authority", "", "directory of the intermediate that signs (default: NAMESPACE)")
	flags.StringVar(&domain, "trust-domain", "cluster.local", "trust domain of the identity")
	flags.StringVar(&order.serviceAccount, "service-account", "default", "service account of the identity")
	flags.StringVar(&order.commonName, "cn", "Workload", "common name in the subject")
	flags.IntVar(&order.days, "days", 1, "days that it is valid for")
	return cmd
}

// readCerts returns the content of a file, or of standard input for -.
func readCerts(g *globals, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(g.In)
	}
	return os.ReadFile(name)
}
