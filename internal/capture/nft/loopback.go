package nft

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// AddPassthroughAddress puts ::6 on the loopback interface. Envoy and the agent bind to it when they hand a connection to the
// application; its IPv4 twin 127.0.0.6 is there by itself. Doing it again changes nothing.
func AddPassthroughAddress() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("::6"), Mask: net.CIDRMask(128, 128)}}
	if err := netlink.AddrReplace(lo, address); err != nil {
		return fmt.Errorf("add ::6 to the loopback interface: %w", err)
	}
	return nil
}
