package view

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Hop is where a request goes next: an endpoint itself, or the gateway of its network.
type Hop struct {
	Address string // IP, or the host name of a gateway
	Port    uint16
	Weight  uint32
	MTLS    bool
	Cluster model.Cluster
	// Gateway says that other endpoints stand behind the hop; the fields below are empty then.
	Gateway           bool
	Namespace         string
	Workload          string
	CanonicalName     string
	CanonicalRevision string
}

// Group is the hops of one locality. Its weight is the sum of theirs.
type Group struct {
	Locality model.Locality
	Hops     []Hop
}

// Weight sums the weights of the hops.
func (g Group) Weight() uint32 {
	var sum uint32
	for _, h := range g.Hops {
		sum = saturatingAdd(sum, h.Weight)
	}
	return sum
}

// Reach is how a class gets to the endpoints of one port of a service.
type Reach struct {
	Groups []Group
	// Unreachable counts the endpoints left out, by reason, for people who ask why.
	Unreachable map[Reason]int
}

// Reason says why an endpoint is left out of a view.
type Reason string

// The reasons.
const (
	NotRequested Reason = "its network is not among those that the gateway serves"
	OtherCluster Reason = "the service is local to its cluster"
	NoGateway    Reason = "its network has no gateway that is known here"
	PlainText    Reason = "it has no sidecar, and gateways between networks pass mutual TLS only"
	Leaving      Reason = "it is terminating"
)

// EndpointsOf decides how a class reaches the endpoints of a service's port. Endpoints of the class's own network are
// reached directly, those of others through the gateways of their network: one hop a gateway, which carries the weight
// of all that is behind it.
func EndpointsOf(eps *model.Endpoints, clusterLocal bool, gateways *model.NetworkGateways, c Class) Reach {
	r := reacher{class: c, clusterLocal: clusterLocal, gateways: gateways, unreachable: map[Reason]int{}}
	if eps != nil {
		for _, ep := range serving(eps.Items) {
			r.add(ep)
		}
	}
	return Reach{Groups: r.groups(), Unreachable: r.unreachable}
}

// serving leaves out endpoints that are terminating, unless there are no others.
func serving(eps []model.Endpoint) []model.Endpoint {
	leaving := func(ep model.Endpoint) bool { return ep.Draining }
	if !slices.ContainsFunc(eps, leaving) {
		return eps
	}
	staying := slices.DeleteFunc(slices.Clone(eps), leaving)
	if len(staying) == 0 {
		return eps
	}
	return staying
}

// reacher collects the endpoints of one service port.
type reacher struct {
	class        Class
	clusterLocal bool
	gateways     *model.NetworkGateways
	direct       []model.Endpoint
	behind       []behind
	unreachable  map[Reason]int
}

// behind is the weight that has to go through the gateways of a network, for one cluster of it.
type behind struct {
	gateways []model.NetworkGateway
	cluster  model.Cluster
	network  model.Network
	locality model.Locality
	mixed    bool // endpoints of more than one locality
	weight   uint32
}

func (r *reacher) add(ep model.Endpoint) {
	if reason := r.refuses(ep); reason != "" {
		r.unreachable[reason]++
		return
	}
	if r.class.Network.Reaches(ep.Network) || r.class.Part == SNIEndpoints {
		r.direct = append(r.direct, ep)
		return
	}
	for i := range r.behind {
		b := &r.behind[i]
		if b.network == ep.Network && b.cluster == ep.Cluster {
			b.weight = saturatingAdd(b.weight, weightOf(ep))
			b.mixed = b.mixed || b.locality != ep.Locality
			return
		}
	}
	r.behind = append(r.behind, behind{
		gateways: r.entrances(ep), cluster: ep.Cluster, network: ep.Network, locality: ep.Locality, weight: weightOf(ep),
	})
}

// refuses gives the reason why the class does not get the endpoint, or nothing.
func (r *reacher) refuses(ep model.Endpoint) Reason {
	switch {
	case !requested(r.class.RequestedView, ep.Network):
		return NotRequested
	case r.clusterLocal && ep.Cluster != r.class.Cluster:
		return OtherCluster
	case r.class.Part == SNIEndpoints && !ep.MTLS:
		return PlainText
	case r.class.Network.Reaches(ep.Network):
		return ""
	case r.class.Part == SNIEndpoints:
		// A gateway serves only its own network: it never passes on to another gateway.
		return NotRequested
	case len(r.entrances(ep)) == 0:
		return NoGateway
	case !ep.MTLS:
		return PlainText
	default:
		return ""
	}
}

// entrances are the gateways through which an endpoint is reached. A gateway that is known by a host name only is none
// yet: endpoints are addresses.
func (r *reacher) entrances(ep model.Endpoint) []model.NetworkGateway {
	return slices.DeleteFunc(r.gateways.To(ep.Network, ep.Cluster), func(gw model.NetworkGateway) bool {
		_, err := netip.ParseAddr(gw.Address)
		return err != nil
	})
}

// requested says whether a comma separated list of networks holds n. An empty list holds all.
func requested(list string, n model.Network) bool {
	if list == "" || n == "" {
		return true
	}
	for _, item := range strings.Split(list, ",") {
		if model.Network(strings.TrimSpace(item)) == n {
			return true
		}
	}
	return false
}

// groups turns what was collected into hops. All weights are multiplied so that each network's weight divides evenly
// over its gateways.
func (r *reacher) groups() []Group {
	scale := uint32(1)
	for _, b := range r.behind {
		scale = lcm(scale, uint32(len(b.gateways)))
	}
	byLocality := map[model.Locality]*Group{}
	group := func(l model.Locality) *Group {
		g := byLocality[l]
		if g == nil {
			g = &Group{Locality: l}
			byLocality[l] = g
		}
		return g
	}
	for _, ep := range r.direct {
		g := group(ep.Locality)
		g.Hops = append(g.Hops, directHop(ep, saturatingMul(weightOf(ep), scale)))
	}
	for hop, locality := range r.gatewayHops(scale) {
		g := group(locality)
		g.Hops = append(g.Hops, hop)
	}
	groups := make([]Group, 0, len(byLocality))
	for _, g := range byLocality {
		slices.SortFunc(g.Hops, compareHops)
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int { return a.Locality.Compare(b.Locality) })
	return groups
}

// gatewayHops gives one hop for each gateway address, with the weight of everything behind it, and the locality of what
// is behind it where that is one.
func (r *reacher) gatewayHops(scale uint32) map[Hop]model.Locality {
	type address struct {
		host string
		port uint16
	}
	hops := map[address]*Hop{}
	localities := map[address]model.Locality{}
	for _, b := range r.behind {
		locality := b.locality
		if b.mixed {
			locality = model.Locality{}
		}
		share := saturatingMul(b.weight, scale) / uint32(len(b.gateways))
		for _, gw := range b.gateways {
			at := address{gw.Address, gw.Port}
			if hop := hops[at]; hop != nil {
				hop.Weight = saturatingAdd(hop.Weight, share)
				if localities[at] != locality {
					localities[at] = model.Locality{}
				}
				continue
			}
			hops[at] = &Hop{Address: gw.Address, Port: gw.Port, Weight: share, MTLS: true, Cluster: b.cluster, Gateway: true}
			localities[at] = locality
		}
	}
	out := make(map[Hop]model.Locality, len(hops))
	for at, hop := range hops {
		out[*hop] = localities[at]
	}
	return out
}

func directHop(ep model.Endpoint, weight uint32) Hop {
	return Hop{
		Address: ep.Address.String(), Port: ep.Port, Weight: weight, MTLS: ep.MTLS, Cluster: ep.Cluster,
		Namespace: ep.Namespace, Workload: ep.Workload, CanonicalName: ep.CanonicalName, CanonicalRevision: ep.CanonicalRevision,
	}
}

func compareHops(a, b Hop) int {
	return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Cluster, b.Cluster))
}

func weightOf(ep model.Endpoint) uint32 { return max(ep.Weight, 1) }

func saturatingAdd(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}

func saturatingMul(a, b uint32) uint32 {
	if p := uint64(a) * uint64(b); p < math.MaxUint32 {
		return uint32(p)
	}
	return math.MaxUint32
}

func lcm(a, b uint32) uint32 {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return saturatingMul(a/x, b)
}

// AddressesOf gives the addresses under which DNS names a headless service to a class: those of its own network, of all
// clusters.
func AddressesOf(b *model.Backends, c Class) []netip.Addr {
	if b == nil {
		return nil
	}
	var out []netip.Addr
	for _, eps := range b.Ports {
		for _, ep := range eps.Items {
			if c.Network.Reaches(ep.Network) && !ep.Draining {
				out = append(out, ep.Address)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
