package bootstrap

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const loopback = "127.0.0.1"

func staticUpstreams(l Layout) []*clusterv3.Cluster {
	xds := overHTTP2(staticUpstream(UpstreamXDS, pipe(l.XDSSocket)))
	// ADS streams are few and live long: no circuit breaker may ever cut them.
	xds.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
		unlimited(corev3.RoutingPriority_DEFAULT), unlimited(corev3.RoutingPriority_HIGH),
	}}
	return []*clusterv3.Cluster{
		staticUpstream(UpstreamPrometheus, tcpAddress(loopback, l.AdminPort)),
		staticUpstream(UpstreamAgent, tcpAddress(loopback, l.StatusPort)),
		overHTTP2(staticUpstream(UpstreamSDS, pipe(l.SDSSocket))),
		xds,
	}
}

func staticUpstream(name string, at *corev3.Address) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: name,
		// The semicolon ends the name for the expression that makes a label of it (see statsTags).
		AltStatName:          name + ";",
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(time.Second),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: at}},
			}}}},
		},
	}
}

func overHTTP2(c *clusterv3.Cluster) *clusterv3.Cluster {
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(&httpv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
						Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
					},
				},
			},
		}),
	}
	return c
}

func unlimited(p corev3.RoutingPriority) *clusterv3.CircuitBreakers_Thresholds {
	many := wrapperspb.UInt32(100_000)
	return &clusterv3.CircuitBreakers_Thresholds{Priority: p, MaxConnections: many, MaxPendingRequests: many, MaxRequests: many}
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}

func tcpAddress(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       ip,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
