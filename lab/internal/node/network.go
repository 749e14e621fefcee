package node

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
)

// setUpNetwork configures the node's network namespace. The starting process has put NodeInterface into it.
func setUpNetwork(spec config.Node) error {
	for _, s := range spec.Sysctls {
		if err := os.WriteFile(filepath.Join("/proc/sys", s.Path), []byte(s.Value), 0o644); err != nil {
			return fmt.Errorf("set %s: %w", s.Path, err)
		}
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("start loopback: %w", err)
	}
	link, err := netlink.LinkByName(config.NodeInterface)
	if err != nil {
		return fmt.Errorf("find %s: %w", config.NodeInterface, err)
	}
	address, err := netlink.ParseAddr(spec.HostRange)
	if err != nil {
		return fmt.Errorf("parse address %s: %w", spec.HostRange, err)
	}
	if err := netlink.AddrAdd(link, address); err != nil {
		return fmt.Errorf("give %s the address %s: %w", config.NodeInterface, address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("start %s: %w", config.NodeInterface, err)
	}
	if err := AddRoutes(link, spec.Routes); err != nil {
		return err
	}
	return runNFT(spec.Firewall)
}

// AddRoutes adds, or changes, routes through the link.
func AddRoutes(link netlink.Link, routes []config.Route) error {
	for _, r := range routes {
		_, to, err := net.ParseCIDR(r.To)
		if err != nil {
			return fmt.Errorf("parse route: %w", err)
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: to}
		if r.Via == "" {
			route.Scope = netlink.SCOPE_LINK
		} else {
			route.Gw = net.ParseIP(r.Via)
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("add route to %s: %w", r.To, err)
		}
	}
	return nil
}

func runNFT(script string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load firewall: %w: %s", err, out)
	}
	return nil
}
