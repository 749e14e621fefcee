package translate

import (
	"fmt"
	"net/netip"
	"slices"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/envoy"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// Names and ports of the listeners that captured connections arrive at.
const (
	virtualOutbound     = "virtualOutbound"
	virtualOutboundPort = 15001
	virtualInbound      = "virtualInbound"
	virtualInboundPort  = 15006
)

// looksLikeHTTP is what the HTTP inspector says of plain-text connections that start with a request.
var looksLikeHTTP = []string{"http/1.0", "http/1.1", "h2c"}

// listeners are the outbound listeners of sidecars.
func listeners(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	ports := view.HTTPPorts(s)
	b.shard("", sharedSource{s.Mesh, fmt.Sprint(ports)}, func(sb *shardBuilder) {
		sb.add(virtualOutbound, s.Mesh, func() proto.Message { return captureAll(s.Mesh) })
		for _, port := range ports {
			name := fmt.Sprintf("0.0.0.0_%d", port)
			sb.add(name, s.Mesh, func() proto.Message { return listenerByPort(name, port, s.Mesh) })
		}
	})
	owners := contested(s, c)
	who := ownersText(owners)
	for key, ns := range s.Namespaces {
		b.shard(key, boundShard{ns, s.Mesh, who}, func(sb *shardBuilder) { namespaceListeners(sb, s, ns, owners, c) })
	}
	return b.done()
}

// boundShard is what the listeners of a namespace's services are made from.
type boundShard struct {
	namespace *model.Namespace
	mesh      *model.Mesh
	owners    string // of contested places
}

type sharedSource struct {
	mesh  *model.Mesh
	ports string
}

// captureAll takes what no other listener takes: unknown destinations pass through, unless the mesh says otherwise.
func captureAll(mesh *model.Mesh) *listener.Listener {
	l := envoy.CaptureListener(virtualOutbound, virtualOutboundPort)
	l.FilterChains = []*listener.FilterChain{
		// Somebody who connects to this port itself would be passed on to it for ever.
		envoy.Chain("virtualOutbound-blackhole", envoy.Match{Port: virtualOutboundPort}, nil,
			envoy.TCPProxy(blackHole, blackHole, nil)),
		envoy.Chain("virtualOutbound-catchall-tcp", envoy.Match{}, nil, unknownDestination(mesh)),
	}
	return l
}

func unknownDestination(mesh *model.Mesh) *listener.Filter {
	to := passThrough
	if mesh.RegistryOnly {
		to = blackHole
	}
	return envoy.TCPProxy(to, to, accessLog(mesh))
}

// listenerByPort takes requests to any service on a port: their Host header says which. What is not HTTP on such a port
// goes to no service that the mesh knows.
func listenerByPort(name string, port uint16, mesh *model.Mesh) *listener.Listener {
	l := envoy.VirtualListener(name, "0.0.0.0", port)
	envoy.Sniff(l, mesh.Detection.HTTP)
	l.FilterChains = []*listener.FilterChain{
		envoy.Chain("", envoy.Match{Transport: "raw_buffer", Protocols: looksLikeHTTP}, nil,
			envoy.HTTP(envoy.Outbound, "outbound_"+name+";", fmt.Sprint(port), accessLog(mesh))),
	}
	l.DefaultFilterChain = envoy.Chain("PassthroughFilterChain", envoy.Match{}, nil, unknownDestination(mesh))
	return l
}

// boundSource is what the listener of one address and port of a service is made from.
type boundSource struct {
	service *model.Service
	port    model.Port
	mesh    *model.Mesh
}

// place is an address and port that connections go to.
type place struct {
	address netip.Addr
	port    uint16
}

// contested gives the owners of those places that more than one service is bound to: services of different clusters may
// have the same virtual address, and headless services may have the same pods. Envoy takes one listener a place.
func contested(s *model.Snapshot, c view.Class) map[place]model.Hostname {
	first := map[place]*model.Service{}
	owners := map[place]model.Hostname{}
	for _, ns := range s.Namespaces {
		for h, svc := range ns.Services {
			for _, p := range svc.Ports {
				for _, address := range boundAddresses(ns.Backends[h], svc, p, c) {
					at := place{address, p.Number}
					owner := first[at]
					switch {
					case owner == nil:
						first[at] = svc
						continue
					case view.Precedes(svc, owner, c.Cluster):
						first[at] = svc
					}
					owners[at] = first[at].Hostname
				}
			}
		}
	}
	return owners
}

// ownersText is the same for equal owners.
func ownersText(owners map[place]model.Hostname) string {
	items := make([]string, 0, len(owners))
	for at, h := range owners {
		items = append(items, fmt.Sprintf("%s_%d=%s", at.address, at.port, h))
	}
	slices.Sort(items)
	return joined(items)
}

func namespaceListeners(sb *shardBuilder, s *model.Snapshot, ns *model.Namespace, owners map[place]model.Hostname, c view.Class) {
	for h, svc := range ns.Services {
		for _, p := range svc.Ports {
			if view.Reserved(p.Number) {
				continue
			}
			source := boundSource{svc, p, s.Mesh}
			for _, address := range boundAddresses(ns.Backends[h], svc, p, c) {
				if owner, ok := owners[place{address, p.Number}]; ok && owner != h {
					continue
				}
				name := fmt.Sprintf("%s_%d", address, p.Number)
				sb.add(name, source, func() proto.Message { return boundListener(name, address, source) })
			}
		}
	}
}

// boundAddresses are the addresses at which a port of a service needs a listener of its own.
func boundAddresses(backends *model.Backends, svc *model.Service, p model.Port, c view.Class) []netip.Addr {
	switch view.BindingOf(svc, p, c.Cluster) {
	case view.ByAddress:
		return svc.AddressesIn(c.Cluster)
	case view.ByEndpoints:
		return view.AddressesOf(backends, c)
	case view.ByPort, view.NotBound:
		return nil
	default:
		return nil
	}
}

// boundListener takes connections to one address of a service.
func boundListener(name string, address netip.Addr, source boundSource) *listener.Listener {
	svc, p, mesh := source.service, source.port, source.mesh
	l := envoy.VirtualListener(name, address.String(), p.Number)
	upstream := view.OutboundName(p.Number, svc.Hostname)
	tcp := envoy.TCPProxy(upstream, upstream, accessLog(mesh))
	if p.Protocol != model.Auto {
		l.FilterChains = []*listener.FilterChain{envoy.Chain("", envoy.Match{}, nil, tcp)}
		return l
	}
	envoy.Sniff(l, mesh.Detection.Unnamed)
	l.FilterChains = []*listener.FilterChain{
		envoy.Chain("", envoy.Match{Transport: "raw_buffer", Protocols: looksLikeHTTP}, nil,
			envoy.HTTP(envoy.Outbound, "outbound_"+name+";", routeOfPort(svc, p), accessLog(mesh),
				envoy.OfferALPNOfRequest(joined(alpnHTTP1), joined(alpnHTTP2)))),
	}
	l.DefaultFilterChain = envoy.Chain("", envoy.Match{}, nil, tcp)
	return l
}

// routeOfPort names the routes of a port that is bound by address.
func routeOfPort(svc *model.Service, p model.Port) string {
	return fmt.Sprintf("%s:%d", svc.Hostname, p.Number)
}
