package translate

import (
	"fmt"
	"slices"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/envoy"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// routes are the outbound routes of sidecars: one table a port number for services that are told apart by their Host
// header, and one a port for those that are bound by address.
func routes(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	for _, port := range view.HTTPPorts(s) {
		source := portSource{services: view.HTTPServices(s, port, c.Cluster), mesh: s.Mesh}
		// The list has no comparable form, so the shard is entered each time; the resource in it compares the list.
		b.shard(fmt.Sprintf("port:%d", port), nil, func(sb *shardBuilder) {
			name := fmt.Sprint(port)
			sb.add(name, source, func() proto.Message { return routesByPort(name, port, source, c) })
		})
	}
	for key, ns := range s.Namespaces {
		b.shard("namespace:"+key, nsSource{ns, s.Mesh}, func(sb *shardBuilder) {
			for _, svc := range ns.Services {
				for _, p := range svc.Ports {
					if p.Protocol != model.Auto || view.BindingOf(svc, p, c.Cluster) == view.NotBound {
						continue
					}
					name := routeOfPort(svc, p)
					sb.add(name, name, func() proto.Message { return routesOfPort(name, svc, p) })
				}
			}
		})
	}
	return b.done()
}

// portSource is what the routes of a port number are made from.
type portSource struct {
	services []*model.Service
	mesh     *model.Mesh
}

// Equal compares services by identity: what did not change keeps its pointer.
func (p portSource) Equal(other any) bool {
	o, ok := other.(portSource)
	return ok && p.mesh == o.mesh && slices.Equal(p.services, o.services)
}

func routesByPort(name string, port uint16, source portSource, c view.Class) *route.RouteConfiguration {
	hosts := make([]*route.VirtualHost, 0, len(source.services)+1)
	taken := map[string]bool{"*": true}
	for _, svc := range source.services {
		var domains []string
		for _, d := range view.Domains(svc, c.Namespace, c.Cluster) {
			// Envoy refuses a table in which two hosts claim one domain.
			if !taken[d] {
				taken[d] = true
				domains = append(domains, d)
			}
		}
		if len(domains) > 0 {
			hosts = append(hosts, envoy.VirtualHost(fmt.Sprintf("%s:%d", svc.Hostname, port), domains,
				envoy.ForwardWithRetries(view.OutboundName(port, svc.Hostname))))
		}
	}
	slices.SortFunc(hosts, func(a, b *route.VirtualHost) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return envoy.RouteConfiguration(name, append(hosts, unknownHost(source.mesh)))
}

// unknownHost takes requests to hosts that the mesh does not know.
func unknownHost(mesh *model.Mesh) *route.VirtualHost {
	if mesh.RegistryOnly {
		return envoy.VirtualHost("block_all", []string{"*"}, envoy.Respond("block_all", 502))
	}
	to := envoy.ForwardTo(passThrough)
	to.Name = "allow_any"
	return envoy.VirtualHost("allow_any", []string{"*"}, to)
}

func routesOfPort(name string, svc *model.Service, p model.Port) *route.RouteConfiguration {
	host := envoy.VirtualHost(name, []string{"*"}, envoy.ForwardWithRetries(view.OutboundName(p.Number, svc.Hostname)))
	return envoy.RouteConfiguration(name, []*route.VirtualHost{host})
}
