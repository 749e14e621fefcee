package capture

import "net/netip"

var (
	localhostV4   = netip.MustParsePrefix("127.0.0.1/32")
	localhostV6   = netip.MustParsePrefix("::1/128")
	passthroughV4 = netip.MustParsePrefix("127.0.0.6/32")
	passthroughV6 = netip.MustParsePrefix("::6/128")
)

// notIPv6 lets IPv6 pass where the pod has none: Envoy then listens on IPv4 only.
func (s Settings) notIPv6() []Rule {
	if s.IPv6 {
		return nil
	}
	return []Rule{{Family: IPv6, Do: Return()}}
}

// families is the address of IPv4, and of IPv6 where the pod has it.
func (s Settings) families(v4, v6 netip.Prefix) []netip.Prefix {
	if s.IPv6 {
		return []netip.Prefix{v4, v6}
	}
	return []netip.Prefix{v4}
}

// known leaves out destinations of a family that the pod does not have.
func (s Settings) known(cidrs []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, cidr := range cidrs {
		if s.IPv6 || cidr.Addr().Is4() {
			out = append(out, cidr)
		}
	}
	return out
}

// capturesLoopback says whether the user asked for loopback addresses to be captured by naming them.
func (s Settings) capturesLoopback() bool {
	for _, cidr := range s.OutboundCIDRs.List {
		if cidr.Addr().IsLoopback() {
			return true
		}
	}
	return false
}
