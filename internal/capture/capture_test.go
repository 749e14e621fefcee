package capture

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The rules of a sidecar as the injector asks for them. The order is the meaning, so all of it is written out.
const sidecarRules = `table inet isthmus {
	chain inbound {
		tcp dport 15008 return
		tcp dport 15090 return
		tcp dport 15021 return
		tcp dport 15020 return
		meta l4proto tcp jump to_inbound
	}
	chain to_inbound {
		meta l4proto tcp redirect to :15006
	}
	chain to_outbound {
		meta l4proto tcp redirect to :15001
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		meta nfproto ipv6 return
		meta l4proto tcp jump inbound
	}
	chain output {
		type nat hook output priority -100; policy accept;
		meta nfproto ipv6 return
		oifname "lo" ip saddr 127.0.0.6/32 return
		oifname "lo" ip daddr != 127.0.0.1/32 tcp dport != 53 tcp dport != 15008 meta skuid 1337 jump to_inbound
		oifname "lo" tcp dport != 53 meta skuid != 1337 return
		meta skuid 1337 return
		oifname "lo" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta skgid 1337 jump to_inbound
		oifname "lo" tcp dport != 53 meta skgid != 1337 return
		meta skgid 1337 return
		ip daddr 10.96.0.10/32 tcp dport 53 redirect to :15053
		ip daddr 10.96.0.10/32 udp dport 53 redirect to :15053
		ip daddr 127.0.0.1/32 return
		meta l4proto tcp jump to_outbound
	}
	chain zones_output {
		type filter hook output priority raw; policy accept;
		udp dport 53 meta skuid 1337 ct zone set 1 return
		udp sport 15053 meta skuid 1337 ct zone set 2 return
		udp dport 53 meta skgid 1337 ct zone set 1 return
		udp sport 15053 meta skgid 1337 ct zone set 2 return
		ip daddr 10.96.0.10/32 udp dport 53 ct zone set 2 return
	}
	chain zones_prerouting {
		type filter hook prerouting priority raw; policy accept;
		udp sport 53 ct zone set 1 return
	}
}
`

func sidecar() Settings {
	s := Defaults()
	s.ExcludeInboundPorts = []uint16{15090, 15021, 15020}
	s.DNS = true
	s.Nameservers = []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a")}
	return s
}

func TestSidecarRules(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(sidecarRules, Text(Plan(sidecar()))); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestSettingsShapeTheRules(t *testing.T) {
	t.Parallel()
	cidr := netip.MustParsePrefix
	cases := []struct {
		name          string
		change        func(*Settings)
		chain         string
		has, has1, no string
	}{
		{"listed inbound ports only", func(s *Settings) { s.InboundPorts = Ports{List: []uint16{80}} }, "inbound", "tcp dport 80 jump to_inbound", "", "meta l4proto tcp jump to_inbound"},
		{"no inbound port", func(s *Settings) { s.InboundPorts = Ports{} }, "inbound", "tcp dport 15008 return", "", "jump to_inbound"},
		{"outbound ranges", func(s *Settings) { s.OutboundCIDRs = CIDRs{List: []netip.Prefix{cidr("10.0.0.0/8")}} }, "output", "ip daddr 10.0.0.0/8 meta l4proto tcp jump to_outbound", "", "\nmeta l4proto tcp jump to_outbound"},
		{"excluded ranges", func(s *Settings) { s.ExcludeOutboundCIDRs = []netip.Prefix{cidr("10.1.0.0/16")} }, "output", "ip daddr 10.1.0.0/16 return", "", ""},
		{"excluded outbound ports", func(s *Settings) { s.ExcludeOutboundPorts = []uint16{5432} }, "output", "tcp dport 5432 return", "udp dport 5432 return", ""},
		{"included outbound ports", func(s *Settings) { s.OutboundPorts, s.OutboundCIDRs = []uint16{443}, CIDRs{} }, "output", "tcp dport 443 jump to_outbound", "", "meta l4proto tcp jump to_outbound"},
		{"excluded interfaces", func(s *Settings) { s.ExcludeInterfaces = []string{"eth1"} }, "output", `oifname "eth1" return`, "", ""},
		{"virtual interfaces", func(s *Settings) { s.VirtualInterfaces = []string{"net1"} }, "prerouting", `iifname "net1" meta l4proto tcp jump to_outbound`, `iifname "net1" return`, ""},
		{"loopback captured", func(s *Settings) { s.OutboundCIDRs = CIDRs{List: []netip.Prefix{cidr("127.0.0.1/32")}} }, "output", "ip daddr 127.0.0.1/32 meta l4proto tcp jump to_outbound", "", "meta skuid != 1337 return"},
		{"IPv6", func(s *Settings) { s.IPv6 = true }, "output", `oifname "lo" ip6 saddr ::6/128 return`, "ip6 daddr fd00::a/128 udp dport 53 redirect to :15053", "meta nfproto ipv6 return"},
		{"no DNS", func(s *Settings) { s.DNS = false }, "output", `oifname "lo" meta skuid != 1337 return`, "", "15053"},
		{"all DNS", func(s *Settings) { s.AllDNS = true }, "output", "udp dport 53 redirect to :15053", "", "10.96.0.10"},
		{"invalid packets", func(s *Settings) { s.DropInvalid = true }, "invalid", "ct state invalid drop", "", ""},
	}
	for _, c := range cases {
		s := sidecar()
		c.change(&s)
		rules := "\n" + chainText(t, Plan(s), c.chain)
		for _, want := range []string{c.has, c.has1} {
			if !strings.Contains(rules, want) {
				t.Errorf("%s: %q is not in%s", c.name, want, rules)
			}
		}
		if c.no != "" && strings.Contains(rules, c.no) {
			t.Errorf("%s: %q is in%s", c.name, c.no, rules)
		}
	}
}

func chainText(t *testing.T, chains []Chain, name string) string {
	t.Helper()
	i := slices.IndexFunc(chains, func(c Chain) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no chain %s", name)
	}
	var out strings.Builder
	for _, rule := range chains[i].Rules {
		out.WriteString(rule.String() + "\n")
	}
	return out.String()
}
