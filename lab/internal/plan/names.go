package plan

import (
	"fmt"
	"net/netip"
)

// Ranges are the /16 ranges that labs are given in turn when the user names none.
func Ranges() []netip.Prefix {
	var ranges []netip.Prefix
	for b := 80; b < 96; b++ {
		ranges = append(ranges, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(b), 0, 0}), 16))
	}
	return ranges
}

// Bridge is the name of the host's interface that all nodes of the lab are plugged into.
func Bridge(lab string) string { return "il-" + lab }

// Link is the host's end of a node's cable.
func Link(lab string, n Node) string { return fmt.Sprintf("%s-%d-%d", Bridge(lab), n.Cluster, n.Index) }

// LinkPrefix is what the names of all links of the lab, but the bridge, start with.
func LinkPrefix(lab string) string { return Bridge(lab) + "-" }

// Cgroup is the lab's control group below the root of every hierarchy; all processes of the lab are somewhere in it.
func Cgroup(lab string) string { return "isthmus-lab-" + lab }

// NodeCgroup is the control group of one node: daemons in its child "system", pods in its child "kubepods".
func NodeCgroup(lab string, n Node) string { return Cgroup(lab) + "/" + n.Short() }
