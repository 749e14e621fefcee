package nft

import (
	"net/netip"
	"testing"

	"github.com/google/nftables"

	"github.com/isthmus-mesh/isthmus/internal/capture"
)

func settings() capture.Settings {
	s := capture.Defaults()
	s.ExcludeInboundPorts = []uint16{15090, 15021, 15020}
	s.ExcludeOutboundPorts = []uint16{5432}
	s.DNS = true
	s.Nameservers = []netip.Addr{netip.MustParseAddr(peerIP), netip.MustParseAddr(peerIP6)}
	s.IPv6 = true
	return s
}

// captured is a pod with a proxy in it, as far as sockets go, and a peer that serves.
func captured(t *testing.T, s capture.Settings) world {
	t.Helper()
	w := newWorld(t)
	for address, name := range map[string]string{
		"[::]:15001": "outbound", "[::]:15006": "inbound", "[::1]:15053": "agent6", "127.0.0.1:15053": "agent",
		"[::]:15021": "ready", "[::]:15008": "tunnel",
	} {
		w.serve(t, w.pod, asProxy, address, name)
	}
	w.serve(t, w.pod, asApp, "[::]:8080", "app")
	for _, address := range []string{"[::]:8080", "[::]:5432", peerIP + ":53", "[" + peerIP6 + "]:53", otherServer + ":53"} {
		w.serve(t, w.peer, asApp, address, "peer")
	}
	in(t, w.pod, 0, func() error {
		if err := AddPassthroughAddress(); err != nil {
			return err
		}
		return Apply(capture.Plan(s))
	})
	return w
}

func TestWhoMeetsWhom(t *testing.T) {
	t.Parallel()
	w := captured(t, settings())
	pod, peer := w.pod, w.peer
	cases := []struct {
		name    string
		ns      int // 0 the pod, 1 the peer
		user    int
		network string
		from    string
		to      string
		want    string
	}{
		{"application out", 0, asApp, "tcp", "", "10.50.0.1:8080", "outbound"},
		{"application out, IPv6", 0, asApp, "tcp", "", "[fd50::1]:8080", "outbound"},
		{"application to nobody", 0, asApp, "tcp", "", "203.0.113.9:81", "outbound"},
		{"application to an excluded port", 0, asApp, "tcp", "", "10.50.0.1:5432", "peer"},
		{"application to itself", 0, asApp, "tcp", "", "127.0.0.1:8080", "app"},
		{"application to itself, IPv6", 0, asApp, "tcp", "", "[::1]:8080", "app"},
		{"application to its own pod address", 0, asApp, "tcp", "", "10.50.0.2:8080", "app"},
		{"proxy out", 0, asProxy, "tcp", "", "10.50.0.1:8080", "peer"},
		{"proxy out, IPv6", 0, asProxy, "tcp", "", "[fd50::1]:8080", "peer"},
		{"proxy to its own pod", 0, asProxy, "tcp", "", "10.50.0.2:8080", "inbound"},
		{"proxy to its own pod, IPv6", 0, asProxy, "tcp", "", "[fd50::2]:8080", "inbound"},
		{"proxy to the application", 0, asProxy, "tcp", "", "127.0.0.1:8080", "app"},
		{"proxy to the application, passed through", 0, asProxy, "tcp", "127.0.0.6:0", "10.50.0.2:8080", "app"},
		{"proxy to the application, passed through, IPv6", 0, asProxy, "tcp", "[::6]:0", "[fd50::2]:8080", "app"},
		{"proxy to its own tunnel", 0, asProxy, "tcp", "", "10.50.0.2:15008", "tunnel"},
		{"peer in", 1, asApp, "tcp", "", "10.50.0.2:8080", "inbound"},
		{"peer in, IPv6", 1, asApp, "tcp", "", "[fd50::2]:8080", "inbound"},
		{"peer to a port that nobody serves", 1, asApp, "tcp", "", "10.50.0.2:81", "inbound"},
		{"peer to readiness", 1, asApp, "tcp", "", "10.50.0.2:15021", "ready"},
		{"peer to the tunnel", 1, asApp, "tcp", "", "10.50.0.2:15008", "tunnel"},
		{"query by UDP", 0, asApp, "udp", "", "10.50.0.1:53", "agent"},
		{"query by UDP, IPv6", 0, asApp, "udp", "", "[fd50::1]:53", "agent6"},
		{"query by TCP", 0, asApp, "tcp", "", "10.50.0.1:53", "agent"},
		{"query to another server", 0, asApp, "udp", "", "10.50.0.3:53", "peer"},
		{"query of the agent", 0, asProxy, "udp", "", "10.50.0.1:53", "peer"},
		{"query of the agent by TCP", 0, asProxy, "tcp", "", "10.50.0.1:53", "peer"},
	}
	for _, c := range cases {
		ns := pod
		if c.ns == 1 {
			ns = peer
		}
		if got := w.dial(t, ns, c.user, c.network, c.from, c.to); got != c.want {
			t.Errorf("%s: met %q, want %q", c.name, got, c.want)
		}
	}
}

// Without zones the agent's query would match the entry of the captured one and come back to the agent.
func TestAgentMayReuseASourcePort(t *testing.T) {
	t.Parallel()
	w := captured(t, settings())
	const from, server = "10.50.0.2:40053", "10.50.0.1:53"
	if got := w.dial(t, w.pod, asApp, "udp", from, server); got != "agent" {
		t.Fatalf("application met %q, want agent", got)
	}
	if got := w.dial(t, w.pod, asProxy, "udp", from, server); got != "peer" {
		t.Errorf("agent met %q, want peer", got)
	}
}

func TestPodWithoutIPv6LetsItPass(t *testing.T) {
	t.Parallel()
	s := settings()
	s.IPv6 = false
	w := captured(t, s)
	if got := w.dial(t, w.pod, asApp, "tcp", "", "[fd50::1]:8080"); got != "peer" {
		t.Errorf("application met %q, want peer", got)
	}
	if got := w.dial(t, w.peer, asApp, "tcp", "", "[fd50::2]:8080"); got != "app" {
		t.Errorf("peer met %q, want app", got)
	}
}

func TestRangesAndInterfaces(t *testing.T) {
	t.Parallel()
	s := settings()
	s.OutboundCIDRs = capture.CIDRs{List: []netip.Prefix{netip.MustParsePrefix("10.50.0.2/31")}}
	s.ExcludeOutboundCIDRs = []netip.Prefix{netip.MustParsePrefix("10.50.0.2/32")}
	w := captured(t, s)
	if got := w.dial(t, w.pod, asApp, "tcp", "", otherServer+":8080"); got != "outbound" {
		t.Errorf("inside the range: met %q, want outbound", got)
	}
	if got := w.dial(t, w.pod, asApp, "tcp", "", peerIP+":8080"); got != "peer" {
		t.Errorf("outside the range: met %q, want peer", got)
	}

	s = settings()
	s.ExcludeInterfaces = []string{"eth0"}
	w = captured(t, s)
	if got := w.dial(t, w.pod, asApp, "tcp", "", peerIP+":8080"); got != "peer" {
		t.Errorf("out on an excluded interface: met %q, want peer", got)
	}
	if got := w.dial(t, w.peer, asApp, "tcp", "", podIP+":8080"); got != "app" {
		t.Errorf("in on an excluded interface: met %q, want app", got)
	}
}

func TestApplyAgainReplaces(t *testing.T) {
	t.Parallel()
	w := captured(t, settings())
	before := count(t, w)
	in(t, w.pod, 0, func() error { return Apply(capture.Plan(settings())) })
	if after := count(t, w); after != before {
		t.Errorf("%d rules after applying again, %d before", after, before)
	}
	fewer := settings()
	fewer.DNS = false
	in(t, w.pod, 0, func() error { return Apply(capture.Plan(fewer)) })
	if after := count(t, w); after >= before {
		t.Errorf("%d rules without DNS, %d with", after, before)
	}
	if got := w.dial(t, w.pod, asApp, "udp", "", "10.50.0.1:53"); got != "peer" {
		t.Errorf("query met %q, want peer", got)
	}
}

func TestDropInvalidIsTakenByTheKernel(t *testing.T) {
	t.Parallel()
	s := settings()
	s.DropInvalid = true
	w := captured(t, s)
	if got := w.dial(t, w.peer, asApp, "tcp", "", podIP+":8080"); got != "inbound" {
		t.Errorf("peer met %q, want inbound", got)
	}
}

// count is the number of rules that the kernel holds in the pod.
func count(t *testing.T, w world) int {
	t.Helper()
	n := 0
	in(t, w.pod, 0, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		chains, err := conn.ListChains()
		if err != nil {
			return err
		}
		for _, chain := range chains {
			rules, err := conn.GetRules(chain.Table, chain)
			if err != nil {
				return err
			}
			n += len(rules)
		}
		return nil
	})
	return n
}
