// Package capture works out which connections of a pod go through its proxy, as nftables rules that are plain values.
// The agent's init container writes them to the kernel by capture/nft. It touches neither network nor files itself.
package capture

import (
	"net/netip"
)

// Table is the one nftables table that holds all rules, so that replacing it replaces them all.
const Table = "isthmus"

// Settings say what is captured. The defaults of Defaults are those of Istio.
type Settings struct {
	OutboundPort uint16 // where Envoy takes outbound connections
	InboundPort  uint16 // where Envoy takes inbound connections
	DNSPort      uint16 // where the agent answers DNS queries, on loopback

	ProxyUIDs []uint32 // users whose own connections are never captured
	ProxyGIDs []uint32 // groups likewise

	InboundPorts         Ports    // captured inbound TCP ports
	ExcludeInboundPorts  []uint16 // of these, not captured; matters when InboundPorts is all
	OutboundPorts        []uint16 // captured outbound whatever their address
	ExcludeOutboundPorts []uint16 // not captured, neither TCP nor UDP
	OutboundCIDRs        CIDRs    // captured outbound destinations
	ExcludeOutboundCIDRs []netip.Prefix

	VirtualInterfaces []string // inbound on these is treated as outbound: virtual machines inside the pod
	ExcludeInterfaces []string // nothing on these is captured

	DNS         bool         // send DNS queries to the agent
	AllDNS      bool         // those to any server, not only to Nameservers
	Nameservers []netip.Addr // of the pod's resolv.conf

	IPv6        bool // the pod has IPv6 addresses
	DropInvalid bool // drop packets that belong to no connection
}

// Ports is a set of ports: all of them, or a list.
type Ports struct {
	All  bool
	List []uint16
}

// CIDRs is a set of destinations: all of them, or a list.
type CIDRs struct {
	All  bool
	List []netip.Prefix
}

// Ports and IDs of Istio's data plane.
const (
	defaultOutboundPort = 15001
	defaultInboundPort  = 15006
	defaultDNSPort      = 15053
	tunnelPort          = 15008
	dnsPort             = 53
	proxyID             = 1337
)

// Defaults capture everything but DNS, for a proxy that runs as user and group 1337.
func Defaults() Settings {
	return Settings{
		OutboundPort: defaultOutboundPort, InboundPort: defaultInboundPort, DNSPort: defaultDNSPort,
		ProxyUIDs: []uint32{proxyID}, ProxyGIDs: []uint32{proxyID},
		InboundPorts: Ports{All: true}, OutboundCIDRs: CIDRs{All: true},
	}
}

// Conntrack zones keep the agent's own queries apart from those it answers: an agent that happens to reuse the source port
// of a captured query would otherwise be handed to itself by the leftover connection entry.
const (
	zoneAgent = 1
	zoneApp   = 2
)

// Plan is the rules for Settings, in the order that the kernel walks them.
func Plan(s Settings) []Chain {
	chains := []Chain{
		{Name: "prerouting", Hook: PreroutingNAT, Rules: s.prerouting()},
		{Name: "output", Hook: OutputNAT, Rules: s.output()},
		{Name: "inbound", Rules: s.inbound()},
		{Name: "to_inbound", Rules: []Rule{{Proto: TCP, Do: Redirect(s.InboundPort)}}},
		{Name: "to_outbound", Rules: []Rule{{Proto: TCP, Do: Redirect(s.OutboundPort)}}},
	}
	if s.DNS {
		chains = append(
			chains,
			Chain{Name: "zones_output", Hook: OutputRaw, Rules: s.zonesOutput()},
			Chain{Name: "zones_prerouting", Hook: PreroutingRaw, Rules: []Rule{
				{Proto: UDP, SourcePort: dnsPort, Do: Zone(zoneAgent)},
			}},
		)
	}
	if s.DropInvalid {
		chains = append(chains, Chain{Name: "invalid", Hook: PreroutingMangle, Rules: []Rule{{Invalid: true, Do: Drop()}}})
	}
	return chains
}

func (s Settings) prerouting() []Rule {
	rules := s.notIPv6()
	for _, name := range s.VirtualInterfaces {
		rules = append(rules, s.toOutbound(Rule{In: name})...)
		rules = append(rules, Rule{In: name, Do: Return()})
	}
	for _, name := range s.ExcludeInterfaces {
		rules = append(rules, Rule{In: name, Do: Return()})
	}
	return append(rules, Rule{Proto: TCP, Do: Jump("inbound")})
}

func (s Settings) inbound() []Rule {
	rules := []Rule{{Proto: TCP, Port: tunnelPort, Do: Return()}}
	if !s.InboundPorts.All {
		for _, port := range s.InboundPorts.List {
			rules = append(rules, Rule{Proto: TCP, Port: port, Do: Jump("to_inbound")})
		}
		return rules
	}
	for _, port := range s.ExcludeInboundPorts {
		rules = append(rules, Rule{Proto: TCP, Port: port, Do: Return()})
	}
	return append(rules, Rule{Proto: TCP, Do: Jump("to_inbound")})
}

func (s Settings) output() []Rule {
	rules := s.notIPv6()
	for _, name := range s.ExcludeInterfaces {
		rules = append(rules, Rule{Out: name, Do: Return()})
	}
	for _, port := range s.ExcludeOutboundPorts {
		rules = append(rules, Rule{Proto: TCP, Port: port, Do: Return()}, Rule{Proto: UDP, Port: port, Do: Return()})
	}
	for _, from := range s.families(passthroughV4, passthroughV6) {
		// Envoy binds to this address when it hands a connection to the application without a listener of its own.
		rules = append(rules, Rule{Out: "lo", Source: from, Do: Return()})
	}
	for _, uid := range s.ProxyUIDs {
		rules = append(rules, s.ofProxy(Owner{UID: true, ID: uid})...)
	}
	for _, gid := range s.ProxyGIDs {
		rules = append(rules, s.ofProxy(Owner{ID: gid})...)
	}
	if s.DNS {
		rules = append(rules, s.dns(Redirect(s.DNSPort), TCP, UDP)...)
	}
	for _, local := range s.families(localhostV4, localhostV6) {
		rules = append(rules, Rule{Dest: local, Do: Return()})
	}
	for _, cidr := range s.known(s.ExcludeOutboundCIDRs) {
		rules = append(rules, Rule{Dest: cidr, Do: Return()})
	}
	for _, port := range s.OutboundPorts {
		rules = append(rules, Rule{Proto: TCP, Port: port, Do: Jump("to_outbound")})
	}
	return append(rules, s.toOutbound(Rule{})...)
}

// ofProxy are the rules about one user or group of the proxy, in an order that matters: what the proxy sends to the pod's own
// service address comes back in as inbound, what others send over loopback stays as it is, all else of the proxy leaves.
func (s Settings) ofProxy(who Owner) []Rule {
	var rules []Rule
	notPorts := []uint16{tunnelPort}
	if s.DNS && who.UID {
		notPorts = []uint16{dnsPort, tunnelPort}
	}
	for _, local := range s.families(localhostV4, localhostV6) {
		rules = append(rules, Rule{
			Out: "lo", NotDest: local, Proto: TCP, NotPorts: notPorts, Owner: &who, Do: Jump("to_inbound"),
		})
	}
	if !s.capturesLoopback() {
		other := Rule{Out: "lo", Owner: &Owner{UID: who.UID, ID: who.ID, Not: true}, Do: Return()}
		if s.DNS {
			other.Proto, other.NotPorts = TCP, []uint16{dnsPort}
		}
		rules = append(rules, other)
	}
	return append(rules, Rule{Owner: &who, Do: Return()})
}

// dns are rules for queries to the pod's name servers, or to any.
func (s Settings) dns(do Verdict, protocols ...Protocol) []Rule {
	var rules []Rule
	for _, proto := range protocols {
		if s.AllDNS {
			rules = append(rules, Rule{Proto: proto, Port: dnsPort, Do: do})
			continue
		}
		for _, server := range s.Nameservers {
			if server.Is6() && !s.IPv6 {
				continue
			}
			to := netip.PrefixFrom(server.WithZone(""), server.BitLen())
			rules = append(rules, Rule{Dest: to, Proto: proto, Port: dnsPort, Do: do})
		}
	}
	return rules
}

func (s Settings) zonesOutput() []Rule {
	var rules []Rule
	owners := make([]Owner, 0, len(s.ProxyUIDs)+len(s.ProxyGIDs))
	for _, uid := range s.ProxyUIDs {
		owners = append(owners, Owner{UID: true, ID: uid})
	}
	for _, gid := range s.ProxyGIDs {
		owners = append(owners, Owner{ID: gid})
	}
	for _, who := range owners {
		rules = append(
			rules,
			Rule{Proto: UDP, Port: dnsPort, Owner: &who, Do: Zone(zoneAgent)},
			Rule{Proto: UDP, SourcePort: s.DNSPort, Owner: &who, Do: Zone(zoneApp)},
		)
	}
	return append(rules, s.dns(Zone(zoneApp), UDP)...)
}

// toOutbound redirects what matches to the outbound port, as far as its destination is captured.
func (s Settings) toOutbound(match Rule) []Rule {
	match.Proto, match.Do = TCP, Jump("to_outbound")
	if s.OutboundCIDRs.All {
		return []Rule{match}
	}
	var rules []Rule
	for _, cidr := range s.known(s.OutboundCIDRs.List) {
		match.Dest = cidr
		rules = append(rules, match)
	}
	return rules
}
