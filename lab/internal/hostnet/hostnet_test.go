package hostnet

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestTheHostsRoutesAreListed(t *testing.T) {
	t.Parallel()
	there, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := Routes()
	if err != nil {
		t.Fatal(err)
	}
	if len(there) > 0 && len(routes) == 0 {
		t.Errorf("no routes, the kernel lists %v", there)
	}
	for _, route := range routes {
		if !route.To.IsValid() || route.To.Bits() == 0 {
			t.Errorf("%+v: wants a destination, and not everywhere", route)
		}
	}
}

func TestARangeThatARouteLeadsIntoIsTaken(t *testing.T) {
	t.Parallel()
	within := netip.MustParsePrefix("10.90.0.0/16")
	route := func(to, link string) []Route { return []Route{{netip.MustParsePrefix(to), link}} }
	cases := []struct {
		name   string
		routes []Route
		want   string
	}{
		{"no route", nil, ""},
		{"elsewhere", route("10.91.0.0/16", "eth0"), ""},
		{"into it", route("10.90.3.0/24", "eth0"), "the route to 10.90.3.0/24 on interface eth0"},
		{"around it", route("10.0.0.0/8", "wg0"), "the route to 10.0.0.0/8 on interface wg0"},
		{"its interface is gone", route("10.90.3.0/24", ""), "a route to 10.90.3.0/24"},
		{"the lab's own", route("10.90.0.0/24", "il-a"), ""},
		{"another lab's", route("10.90.0.0/24", "il-b"), "the route to 10.90.0.0/24 on interface il-b"},
	}
	for _, c := range cases {
		if got := Taken(c.routes, within, "a"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
