package command

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/isthmus-mesh/isthmus/internal/capture"
)

// captureFlags are those of Istio's tool, by their short and their long names.
type captureFlags struct {
	outboundPort, inboundPort, dnsPort  uint16
	uids, gids                          string
	mode                                string
	outboundCIDRs, excludeOutboundCIDRs string
	inboundPorts, excludeInboundPorts   string
	outboundPorts, excludeOutboundPorts string
	virtual, excludeInterfaces          []string
	dns, allDNS, dropInvalid            bool
	dryRun, skipApply, validate         bool
	resolvConf                          string
}

// add defines the flags. Three of them have their default from the environment, which the injector fills from proxyMetadata.
func (c *captureFlags) add(f *pflag.FlagSet, getenv func(string) string) {
	d := capture.Defaults()
	f.Uint16VarP(&c.outboundPort, "envoy-port", "p", d.OutboundPort, "port of Envoy that outbound TCP connections go to")
	f.Uint16VarP(&c.inboundPort, "inbound-capture-port", "z", d.InboundPort, "port of Envoy that inbound TCP connections go to")
	f.Uint16Var(&c.dnsPort, "dns-port", d.DNSPort, "port of the agent that DNS queries go to")
	f.StringVarP(&c.uids, "proxy-uid", "u", "1337", "users whose connections are not captured: the proxy's")
	f.StringVarP(&c.gids, "proxy-gid", "g", "", "groups likewise (default: those of --proxy-uid)")
	f.StringVarP(&c.mode, "istio-inbound-interception-mode", "m", "REDIRECT", "how inbound connections are captured; only REDIRECT")
	f.StringVarP(&c.outboundCIDRs, "istio-service-cidr", "i", "*", "captured outbound destinations, or * for all")
	f.StringVarP(&c.excludeOutboundCIDRs, "istio-service-exclusion-cidr", "x", "", "outbound destinations that are not captured")
	f.StringVarP(&c.inboundPorts, "istio-inbound-ports", "b", "*", "captured inbound ports, or * for all")
	f.StringVarP(&c.excludeInboundPorts, "istio-local-exclude-ports", "d", "", "inbound ports that are not captured, when -b is *")
	f.StringVarP(&c.outboundPorts, "istio-outbound-ports", "q", "", "outbound ports that are captured whatever -i says")
	f.StringVarP(&c.excludeOutboundPorts, "istio-local-outbound-ports-exclude", "o", "", "outbound ports that are not captured")
	f.StringSliceVarP(&c.virtual, "kube-virt-interfaces", "k", nil, "interfaces of virtual machines, whose inbound side is outbound traffic")
	f.StringSliceVarP(&c.excludeInterfaces, "istio-exclude-interfaces", "c", nil, "interfaces on which nothing is captured")
	dns := getenv("ISTIO_META_DNS_CAPTURE") == "true"
	f.BoolVar(&c.dns, "capture-dns", dns, "send DNS queries to the agent (env ISTIO_META_DNS_CAPTURE)")
	f.BoolVar(&c.dns, "redirect-dns", dns, "the same as --capture-dns")
	f.BoolVar(&c.allDNS, "capture-all-dns", getenv("CAPTURE_ALL_DNS") == "true", "also those to other servers than the pod's own (env CAPTURE_ALL_DNS)")
	f.BoolVar(&c.dropInvalid, "drop-invalid", getenv("INVALID_DROP") == "true", "drop packets that belong to no connection (env INVALID_DROP)")
	f.BoolVarP(&c.dryRun, "dry-run", "n", false, "print the rules and change nothing")
	f.BoolVar(&c.skipApply, "skip-rule-apply", false, "the same as --dry-run")
	f.BoolVar(&c.validate, "run-validation", false, "refused: rules written by a CNI plugin cannot be checked yet")
	f.StringVar(&c.resolvConf, "resolv-conf", "/etc/resolv.conf", "resolver configuration with the pod's name servers")
}

// settings checks the flags and puts them together with what the host knows. IPv6 stays off, also in pods of both families:
// Envoy's listeners bind IPv4 addresses only, so a redirected IPv6 connection would be refused where one that passes works.
func (c captureFlags) settings(h host) (capture.Settings, error) {
	s := capture.Settings{
		OutboundPort: c.outboundPort, InboundPort: c.inboundPort, DNSPort: c.dnsPort,
		VirtualInterfaces: c.virtual, ExcludeInterfaces: c.excludeInterfaces,
		DNS: c.dns, AllDNS: c.allDNS, Nameservers: h.nameservers, DropInvalid: c.dropInvalid,
	}
	if c.mode != "REDIRECT" {
		return s, fmt.Errorf("interception mode %s is not supported; use REDIRECT (annotation sidecar.istio.io/interceptionMode)", c.mode)
	}
	if c.validate {
		return s, fmt.Errorf("--run-validation is not supported: there is no CNI plugin whose rules it could check")
	}
	if c.dns && !c.allDNS && h.err != nil {
		return s, fmt.Errorf("whose DNS queries to capture: %w", h.err)
	}
	if c.gids == "" {
		c.gids = c.uids
	}
	var err error
	list := func(what string, read func() error) {
		if err == nil {
			if err = read(); err != nil {
				err = fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	list("--proxy-uid", func() (e error) { s.ProxyUIDs, e = numbers[uint32](c.uids, 32); return e })
	list("--proxy-gid", func() (e error) { s.ProxyGIDs, e = numbers[uint32](c.gids, 32); return e })
	list("-b", func() (e error) { s.InboundPorts, e = ports(c.inboundPorts); return e })
	list("-d", func() (e error) { s.ExcludeInboundPorts, e = numbers[uint16](c.excludeInboundPorts, 16); return e })
	list("-q", func() (e error) { s.OutboundPorts, e = numbers[uint16](c.outboundPorts, 16); return e })
	list("-o", func() (e error) { s.ExcludeOutboundPorts, e = numbers[uint16](c.excludeOutboundPorts, 16); return e })
	list("-i", func() (e error) { s.OutboundCIDRs, e = cidrs(c.outboundCIDRs); return e })
	list("-x", func() (e error) { s.ExcludeOutboundCIDRs, e = prefixes(c.excludeOutboundCIDRs); return e })
	return s, err
}

func ports(text string) (capture.Ports, error) {
	if text == "*" {
		return capture.Ports{All: true}, nil
	}
	list, err := numbers[uint16](text, 16)
	return capture.Ports{List: list}, err
}

func cidrs(text string) (capture.CIDRs, error) {
	if text == "*" {
		return capture.CIDRs{All: true}, nil
	}
	list, err := prefixes(text)
	return capture.CIDRs{List: list}, err
}

// prefixes reads a comma list of ranges; a bare address is a range of one.
func prefixes(text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, item := range items(text) {
		if ip, err := netip.ParseAddr(item); err == nil {
			out = append(out, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(item)
		if err != nil {
			return nil, err
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// numbers reads a comma list of ports or IDs.
func numbers[T uint16 | uint32](text string, bits int) ([]T, error) {
	var out []T
	for _, item := range items(text) {
		n, err := strconv.ParseUint(item, 10, bits)
		if err != nil {
			return nil, err
		}
		out = append(out, T(n))
	}
	return out, nil
}

func items(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
