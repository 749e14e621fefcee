package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Endpoint is one address with its weight. MTLS marks it for MTLSWhereSpoken; workload is Istio's five fields
// (workload;namespace;canonical name;canonical revision;cluster) for metrics.
func Endpoint(address string, port uint16, weight uint32, mtls bool, workload string) *endpoint.LbEndpoint {
	metadata := map[string]*structpb.Struct{
		"istio": {Fields: map[string]*structpb.Value{"workload": structpb.NewStringValue(workload)}},
	}
	if mtls {
		metadata["envoy.transport_socket_match"] = &structpb.Struct{
			Fields: map[string]*structpb.Value{"tlsMode": structpb.NewStringValue("istio")},
		}
	}
	return &endpoint.LbEndpoint{
		HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: SocketAddress(address, port)}},
		Metadata:       &core.Metadata{FilterMetadata: metadata},

		LoadBalancingWeight: uint32Value(weight),
	}
}

// LocalityEndpoints are the endpoints of one locality and priority.
func LocalityEndpoints(region, zone, subzone string, priority, weight uint32, eps []*endpoint.LbEndpoint) *endpoint.LocalityLbEndpoints {
	return &endpoint.LocalityLbEndpoints{
		Locality:            &core.Locality{Region: region, Zone: zone, SubZone: subzone},
		LbEndpoints:         eps,
		Priority:            priority,
		LoadBalancingWeight: uint32Value(weight),
	}
}

// LoadAssignment is the endpoints of an upstream.
func LoadAssignment(upstream string, groups []*endpoint.LocalityLbEndpoints) *endpoint.ClusterLoadAssignment {
	return &endpoint.ClusterLoadAssignment{ClusterName: upstream, Endpoints: groups}
}
