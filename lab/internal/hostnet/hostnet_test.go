package hostnet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestARangeThatARouteLeadsIntoIsTaken(t *testing.T) {
	t.Parallel()
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range routes {
		if route.Dst == nil {
			continue
		}
		to, err := netip.ParsePrefix(route.Dst.String())
		if err != nil || to.Bits() == 0 {
			continue
		}
		by, err := Taken(netip.PrefixFrom(to.Addr(), 16).Masked(), "none")
		if err != nil || !strings.Contains(by, "route to") {
			t.Errorf("%s: got %q, %v; want the route that is there", to, by, err)
		}
		return
	}
	t.Skip("this machine has no routes")
}

func TestARangeThatNobodyUsesIsFree(t *testing.T) {
	t.Parallel()
	// Of the addresses for benchmarks of network devices; no machine that runs tests has them.
	if by, err := Taken(netip.MustParsePrefix("198.19.0.0/16"), "none"); err != nil || by != "" {
		t.Errorf("got %q, %v; want that it is free", by, err)
	}
}
