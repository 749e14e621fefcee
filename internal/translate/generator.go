package translate

import (
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/nds"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// Type URLs of what proxies ask for.
const (
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	NamesType    = nds.TypeURL
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

var types = map[string]view.Type{
	ClusterType:  view.TypeUpstreams,
	EndpointType: view.TypeEndpoints,
	ListenerType: view.TypeListeners,
	RouteType:    view.TypeRoutes,
	NamesType:    view.TypeNames,
	SecretType:   view.TypeCredentials,
}

// Generator turns snapshots into resources. It has no state.
type Generator struct{}

// Classes gives the classes whose sets make up a proxy's resources of a type. The names in them are disjoint. A type
// that is not served has none.
func (Generator) Classes(s *model.Snapshot, p view.Proxy, typeURL string) []view.Class {
	return view.Classes(s, p, types[typeURL])
}

// Build makes the set of a class. Prev is the set of the same class of an earlier snapshot, or nil: what did not change
// since is taken over.
func (Generator) Build(s *model.Snapshot, c view.Class, prev *Set) *Set {
	switch c.Part {
	case view.Upstreams:
		return upstreams(prev, s, c)
	case view.InboundUpstreams:
		return inboundUpstreams(prev, s, c)
	case view.SNIUpstreams:
		return sniUpstreams(prev, s, c)
	case view.Endpoints:
		return endpoints(prev, s, c)
	case view.SNIEndpoints:
		return sniEndpoints(prev, s, c)
	case view.Listeners:
		return listeners(prev, s, c)
	case view.InboundListeners:
		return inboundListener(prev, s, c)
	case view.GatewayListeners:
		return gatewayListeners(prev, s, c)
	case view.Routes:
		return routes(prev, s, c)
	case view.GatewayRoutes:
		return gatewayRoutes(prev, s, c)
	case view.Names:
		return names(prev, s, c)
	case view.Credentials:
		return credentials(prev, s, c)
	default:
		panic(fmt.Sprintf("translate: no such part %d", c.Part))
	}
}
