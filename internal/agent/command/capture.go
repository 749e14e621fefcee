package command

import (
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/capture"
	"github.com/isthmus-mesh/isthmus/internal/capture/nft"
)

func newCapture() *cobra.Command {
	var flags captureFlags
	var logs logFlags
	cmd := &cobra.Command{
		Use:     "capture",
		Aliases: []string{"istio-iptables"},
		Short:   "Redirect the pod's connections to Envoy, by nftables rules in this network namespace",
		Long: "Redirect the pod's connections to Envoy, by nftables rules in this network namespace.\n\n" +
			"Only IPv4 is redirected. Connections over IPv6 go past the proxy, in plain text, since Envoy listens on IPv4 only.",
		Example: "agent capture -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -b '*' -d 15090,15021,15020 --capture-dns --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := flags.settings(findHost(flags.resolvConf))
			if err != nil {
				return err
			}
			return runCapture(settings, flags, cmd.OutOrStdout())
		},
	}
	flags.add(cmd.Flags(), os.Getenv)
	logs.add(cmd.Flags())
	const why = "nftables rules are written in one step over netlink"
	ignored(cmd.Flags(), why, "iptables-probe-port", "probe-timeout", "network-namespace")
	ignoredSwitches(cmd.Flags(), why, "force-apply", "native-nftables", "cni-mode", "dual-stack", "iptables-trace-logging",
		"reconcile", "cleanup-only", "host-filesystem-pod-network")
	return cmd
}

// runCapture prints the rules and, unless told not to, applies them. The log of the init container is where people look.
func runCapture(s capture.Settings, flags captureFlags, out io.Writer) error {
	chains := capture.Plan(s)
	if _, err := io.WriteString(out, capture.Text(chains)); err != nil {
		return fmt.Errorf("print rules: %w", err)
	}
	if flags.dryRun || flags.skipApply {
		return nil
	}
	if s.IPv6 {
		if err := nft.AddPassthroughAddress(); err != nil {
			return err
		}
	}
	return nft.Apply(chains)
}

// host is what the rules depend on besides flags.
type host struct {
	nameservers []netip.Addr
	err         error // why the name servers are not known
}

// findHost reads the resolver configuration.
func findHost(resolvConf string) host {
	var h host
	config, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		h.err = fmt.Errorf("read name servers: %w", err)
		return h
	}
	for _, text := range config.Servers {
		if ip, err := netip.ParseAddr(text); err == nil {
			h.nameservers = append(h.nameservers, ip)
		}
	}
	return h
}
