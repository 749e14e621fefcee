package translate

import (
	"strings"

	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/envoy"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// endpointsSource is what the endpoints of one port of a service are made from.
type endpointsSource struct {
	endpoints    *model.Endpoints
	gateways     *model.NetworkGateways
	clusterLocal bool
}

type endpointsShard struct {
	namespace *model.Namespace
	gateways  *model.NetworkGateways
	hosts     string
}

// endpoints are the load assignments of all services but headless ones, whose clients pick endpoints themselves.
func endpoints(prev *Set, s *model.Snapshot, c view.Class) *Set {
	return assignments(prev, s, c, "", func(svc *model.Service, p model.Port) string {
		if svc.Headless {
			return ""
		}
		return view.OutboundName(p.Number, svc.Hostname)
	})
}

// sniEndpoints are those that an AUTO_PASSTHROUGH gateway forwards to.
func sniEndpoints(prev *Set, s *model.Snapshot, c view.Class) *Set {
	hosts := view.PassesBySNI(s, c)
	return assignments(prev, s, c, joined(hosts), func(svc *model.Service, p model.Port) string {
		if !passes(hosts, svc, p) {
			return ""
		}
		return view.SNIName(p.Number, svc.Hostname)
	})
}

// assignments makes a load assignment for every port that has a name.
func assignments(prev *Set, s *model.Snapshot, c view.Class, hosts string, name func(*model.Service, model.Port) string) *Set {
	b := newSetBuilder(prev)
	for key, ns := range s.Namespaces {
		b.shard(key, endpointsShard{ns, s.Gateways, hosts}, func(sb *shardBuilder) {
			for h, svc := range ns.Services {
				backends := ns.Backends[h]
				for _, p := range svc.Ports {
					name := name(svc, p)
					if name == "" {
						continue
					}
					source := endpointsSource{gateways: s.Gateways, clusterLocal: svc.ClusterLocal}
					if backends != nil {
						source.endpoints = backends.Ports[p.Number]
					}
					sb.add(name, source, func() proto.Message { return assignment(name, source, c) })
				}
			}
		})
	}
	return b.done()
}

func assignment(name string, source endpointsSource, c view.Class) *endpoint.ClusterLoadAssignment {
	reach := view.EndpointsOf(source.endpoints, source.clusterLocal, source.gateways, c)
	groups := make([]*endpoint.LocalityLbEndpoints, 0, len(reach.Groups))
	for _, g := range reach.Groups {
		eps := make([]*endpoint.LbEndpoint, 0, len(g.Hops))
		for _, h := range g.Hops {
			eps = append(eps, envoy.Endpoint(h.Address, h.Port, h.Weight, h.MTLS, workload(h)))
		}
		groups = append(groups, envoy.LocalityEndpoints(g.Locality.Region, g.Locality.Zone, g.Locality.Subzone, 0, g.Weight(), eps))
	}
	return envoy.LoadAssignment(name, groups)
}

// workload is Istio's text of who answers: workload;namespace;canonical name;canonical revision;cluster.
func workload(h view.Hop) string {
	revision := h.CanonicalRevision
	if revision == "latest" {
		revision = ""
	}
	return strings.Join([]string{h.Workload, h.Namespace, h.CanonicalName, revision, string(h.Cluster)}, ";")
}

func joined(list []string) string { return strings.Join(list, ",") }
