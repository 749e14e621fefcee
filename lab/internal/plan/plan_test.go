package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

var firstRange = netip.MustParsePrefix("10.80.0.0/16")

func mustPlan(t *testing.T, r Request) Lab {
	t.Helper()
	lab, err := New(r, firstRange)
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

func TestClustersAreDealtToNetworksInTurn(t *testing.T) {
	t.Parallel()
	lab := mustPlan(t, Request{Name: "a", Clusters: 3, Nodes: 2, Networks: 2})
	var got []string
	for _, c := range lab.Clusters {
		got = append(got, fmt.Sprintf("%s %s %s %s", c.Name, c.Network, c.Nodes[0].Zone, c.Nodes[1].Zone))
	}
	want := "cluster1 network1 region1-a region1-b; cluster2 network2 region2-a region2-b; cluster3 network1 region3-a region3-b"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}

func TestNoTwoRangesOfALabOverlap(t *testing.T) {
	t.Parallel()
	lab := mustPlan(t, Request{Name: "a", Clusters: MaxClusters, Nodes: MaxNodes, Networks: 1})
	ranges := map[string]netip.Prefix{"nodes": lab.NodeRange()}
	addresses := map[netip.Addr]string{lab.Host(): "host"}
	for _, c := range lab.Clusters {
		ranges[c.Name+" pods"], ranges[c.Name+" services"], ranges[c.Name+" load balancers"] = c.Pods, c.Services, c.LoadBalancers
		for _, n := range c.Nodes {
			if other, ok := addresses[n.Address]; ok {
				t.Errorf("%s and %s have the address %s", n.Name, other, n.Address)
			}
			addresses[n.Address] = n.Name
			if !lab.NodeRange().Contains(n.Address) {
				t.Errorf("%s has the address %s, which is not in %s", n.Name, n.Address, lab.NodeRange())
			}
			if !c.Pods.Overlaps(n.Pods) || n.Pods.Bits() < c.Pods.Bits() {
				t.Errorf("%s has pods in %s, outside of its cluster's %s", n.Name, n.Pods, c.Pods)
			}
		}
		if !c.Services.Contains(c.DNSService()) || !c.Services.Contains(c.KubernetesService()) {
			t.Errorf("%s: DNS %s or kubernetes %s is not in %s", c.Name, c.DNSService(), c.KubernetesService(), c.Services)
		}
	}
	for a, one := range ranges {
		if !firstRange.Overlaps(one) || one.Bits() < firstRange.Bits() || one != one.Masked() {
			t.Errorf("%s: %s is no part of %s", a, one, firstRange)
		}
		for b, other := range ranges {
			if a < b && one.Overlaps(other) {
				t.Errorf("%s %s overlaps %s %s", a, one, b, other)
			}
		}
	}
}

func TestInterfaceNamesFit(t *testing.T) {
	t.Parallel()
	const longest = 15 // IFNAMSIZ - 1
	if name := Link("abcdefgh", Node{Cluster: MaxClusters, Index: MaxNodes}); len(name) > longest {
		t.Errorf("%s has %d characters, an interface has at most %d", name, len(name), longest)
	}
}

func TestImpossibleRequestsAreRefusedWithTheLimits(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		request Request
		want    string
	}{
		{"name with hyphen", Request{"a-b", 1, 1, 1}, "lower-case letters and digits"},
		{"name too long", Request{"abcdefghi", 1, 1, 1}, "1 to 8"},
		{"name that leads out of the folder", Request{"..", 1, 1, 1}, "lower-case"},
		{"no cluster", Request{"a", 0, 1, 1}, "1 to 9"},
		{"too many nodes", Request{"a", 1, 10, 1}, "1 to 9"},
		{"networks without clusters", Request{"a", 2, 1, 3}, "use 1 to 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(c.request, firstRange); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestRangesAreWhole(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"10.80.0.0/17", "10.80.1.0/16", "fd00::/16"} {
		if err := CheckRange(netip.MustParsePrefix(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	for _, r := range Ranges() {
		if err := CheckRange(r); err != nil {
			t.Error(err)
		}
	}
}

func TestNodesAreFoundByNameAndNumber(t *testing.T) {
	t.Parallel()
	c := mustPlan(t, Request{Name: "a", Clusters: 1, Nodes: 2, Networks: 1}).Clusters[0]
	for _, name := range []string{"cluster1-node2", "node2", "2"} {
		if n, err := c.Node(name); err != nil || n.Index != 2 {
			t.Errorf("%q: got %+v, %v; want the second node", name, n, err)
		}
	}
	if n, err := c.Node(""); err != nil || n.Index != 1 {
		t.Errorf("no name: got %+v, %v; want the first node", n, err)
	}
	if _, err := c.Node("3"); err == nil || !strings.Contains(err.Error(), "cluster1-node2") {
		t.Errorf("a node that is not there: got %v, want an error that lists the nodes", err)
	}
}
