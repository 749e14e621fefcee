package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// NodeInterface is the node's end of its cable to the lab's bridge.
const NodeInterface = "eth0"

func hostRange(lab plan.Lab, n plan.Node) string {
	return netip.PrefixFrom(n.Address, lab.NodeRange().Bits()).String()
}

// routes are a node's ways to the pods of every other node and to the LoadBalancer addresses of every other cluster. Nodes know each
// other's ranges, so the host forwards nothing and needs no setting changed. There is no default route: a lab is closed.
func routes(lab plan.Lab, own plan.Cluster, n plan.Node) []Route {
	var routes []Route
	for _, c := range lab.Clusters {
		for _, other := range c.Nodes {
			if other.Name != n.Name {
				routes = append(routes, Route{To: other.Pods.String(), Via: other.Address.String()})
			}
		}
		if c.Name != own.Name {
			routes = append(routes, Route{To: c.LoadBalancers.String(), Via: c.Nodes[0].Address.String()})
		}
	}
	// What the node itself sends to these is given another destination by kube-proxy, but only after a route was found.
	return append(routes, Route{To: own.Services.String()}, Route{To: own.LoadBalancers.String()})
}

// HostRoutes are the host's ways into the lab.
func HostRoutes(lab plan.Lab) []Route {
	var routes []Route
	for _, c := range lab.Clusters {
		for _, n := range c.Nodes {
			routes = append(routes, Route{To: n.Pods.String(), Via: n.Address.String()})
		}
		routes = append(routes, Route{To: c.LoadBalancers.String(), Via: c.Nodes[0].Address.String()})
	}
	return routes
}

func sysctls() []Sysctl {
	return []Sysctl{
		{"net/ipv4/ip_forward", "1"},
		// Answers may come by another way than questions went.
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
	}
}

// Firewall is the nft script of a node: what keeps the networks of a lab apart.
//
// It looks at new connections before their destination is changed (priority mangle is before dstnat): a LoadBalancer address is let
// through by that address, whatever pod it leads to, while the same pod's own address is not. Packets are dropped, not refused, as
// between two networks that do not know of each other.
func Firewall(lab plan.Lab, own plan.Cluster, n plan.Node) string {
	var script strings.Builder
	fmt.Fprintf(&script, "table ip isthmus-lab {\n")
	if foreign := foreignRanges(lab, own); len(foreign) > 0 {
		fmt.Fprintf(&script, "  chain networks {\n    type filter hook prerouting priority mangle; policy accept;\n")
		fmt.Fprintf(&script, "    iifname != %q accept\n    ct state established,related accept\n", NodeInterface)
		fmt.Fprintf(&script, "    ip saddr != { %s } accept\n", strings.Join(foreign, ", "))
		fmt.Fprintf(&script, "    ip daddr %s accept\n", own.LoadBalancers)
		if n.ControlPlane() {
			fmt.Fprintf(&script, "    ip daddr %s tcp dport 6443 accept\n", n.Address)
		}
		fmt.Fprintf(&script, "    ip daddr %s icmp type echo-request accept\n    counter drop\n  }\n", n.Address)
	}
	// An address that no Service has now would travel between node and host until its time to live ends.
	fmt.Fprintf(&script, "  chain unassigned {\n    type filter hook forward priority filter; policy accept;\n")
	fmt.Fprintf(&script, "    ip daddr %s counter reject with icmp host-unreachable\n  }\n}\n", own.LoadBalancers)
	return script.String()
}

// foreignRanges are the sources that belong to clusters of other networks: their pods and their nodes.
func foreignRanges(lab plan.Lab, own plan.Cluster) []string {
	var ranges []string
	for _, c := range lab.Clusters {
		if c.Network == own.Network {
			continue
		}
		ranges = append(ranges, c.Pods.String())
		for _, n := range c.Nodes {
			ranges = append(ranges, n.Address.String())
		}
	}
	return ranges
}
