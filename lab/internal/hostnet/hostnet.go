// Package hostnet is what a lab adds to the host's own network: one bridge with an address, and routes into the lab. It forwards nothing
// and changes no setting of the host. The nodes' side is in the package node.
package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/node"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Make makes the lab's bridge and the host's routes, or completes them.
func Make(lab plan.Lab) error {
	name := plan.Bridge(lab.Name)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make bridge %s: %w", name, err)
	}
	bridge, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", name, err)
	}
	address, err := netlink.ParseAddr(netip.PrefixFrom(lab.Host(), lab.NodeRange().Bits()).String())
	if err != nil {
		return fmt.Errorf("parse the host's address: %w", err)
	}
	if err := netlink.AddrReplace(bridge, address); err != nil {
		return fmt.Errorf("give bridge %s the address %s: %w", name, address, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("start bridge %s: %w", name, err)
	}
	return node.AddRoutes(bridge, config.HostRoutes(lab))
}

// Remove removes all links of the lab, and with the bridge its address and routes.
func Remove(lab string) error {
	return remove(func(name string) bool {
		return name == plan.Bridge(lab) || strings.HasPrefix(name, plan.LinkPrefix(lab))
	})
}

// Unplug removes the cable of a node that does not run any more. The kernel does so too, a moment later.
func Unplug(lab string, n plan.Node) error {
	return remove(func(name string) bool { return name == plan.Link(lab, n) })
}

func remove(wanted func(name string) bool) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		if !wanted(link.Attrs().Name) {
			continue
		}
		// A cable goes with its node, so it may be gone by now.
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("remove link %s: %w", link.Attrs().Name, err)
		}
	}
	return nil
}

// Labs are the names of the labs that have a bridge on this host.
func Labs() ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var names []string
	for _, link := range links {
		if name, ok := strings.CutPrefix(link.Attrs().Name, plan.Bridge("")); ok && plan.CheckName(name) == nil && link.Type() == "bridge" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Route is a route of the host, but for default ones: those lead everywhere, and give way to any other.
type Route struct {
	To        netip.Prefix
	Interface string // empty when it is gone by now
}

// Routes are the host's IPv4 routes.
func Routes() ([]Route, error) {
	found, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var routes []Route
	for _, route := range found {
		if route.Dst == nil {
			continue
		}
		to, err := netip.ParsePrefix(route.Dst.String())
		if err != nil || to.Bits() == 0 {
			continue
		}
		name := ""
		if link, err := netlink.LinkByIndex(route.LinkIndex); err == nil {
			name = link.Attrs().Name
		}
		routes = append(routes, Route{to, name})
	}
	return routes, nil
}

// Taken returns what uses addresses of the range already, in words, or nothing. Interfaces of the lab itself do not count.
func Taken(routes []Route, within netip.Prefix, lab string) string {
	for _, route := range routes {
		switch {
		case !route.To.Overlaps(within) || route.Interface == plan.Bridge(lab):
		case route.Interface == "":
			return fmt.Sprintf("a route to %s", route.To)
		default:
			return fmt.Sprintf("the route to %s on interface %s", route.To, route.Interface)
		}
	}
	return ""
}
