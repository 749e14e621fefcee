package envoy

import (
	"math"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	http "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// MaxConnectionLifetime of a stale original-destination host is as long as Envoy takes: inbound hosts never go away.
const longest = time.Duration(math.MaxInt64/int64(time.Second)) * time.Second / 32

// Upstream is an Envoy cluster without endpoints of its own: the parts that all kinds share.
func Upstream(name string, connectTimeout time.Duration) *cluster.Cluster {
	return &cluster.Cluster{
		Name:            name,
		AltStatName:     name + ";", // the delimiter lets the tag pattern of the bootstrap find the end of the name
		ConnectTimeout:  duration(connectTimeout),
		CircuitBreakers: unlimited(),
	}
}

// unlimited takes Envoy's default limits of 1024 away, as Istio does: limits are the user's to set.
func unlimited() *cluster.CircuitBreakers {
	most := uint32Value(math.MaxUint32)
	return &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxConnections: most, MaxPendingRequests: most, MaxRequests: most, MaxRetries: most,
	}}}
}

// EDSUpstream is an Envoy cluster whose endpoints come by EDS under its own name.
func EDSUpstream(name string, connectTimeout time.Duration) *cluster.Cluster {
	c := Upstream(name, connectTimeout)
	c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_EDS}
	c.EdsClusterConfig = &cluster.Cluster_EdsClusterConfig{EdsConfig: ADS()}
	c.LbPolicy = cluster.Cluster_LEAST_REQUEST
	return c
}

// PassThroughUpstream connects to where the connection was going before it was captured.
func PassThroughUpstream(name string, connectTimeout time.Duration) *cluster.Cluster {
	c := Upstream(name, connectTimeout)
	c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST}
	c.LbPolicy = cluster.Cluster_CLUSTER_PROVIDED
	return c
}

// InboundUpstream connects to the application in the same pod. It binds to source, which capture leaves alone, so that
// the connection is not captured again.
func InboundUpstream(name, source string, connectTimeout time.Duration) *cluster.Cluster {
	c := PassThroughUpstream(name, connectTimeout)
	c.CleanupInterval = duration(longest)
	c.UpstreamBindConfig = &core.BindConfig{SourceAddress: &core.SocketAddress{
		Address:       source,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: 0},
	}}
	return c
}

// EmptyUpstream has no endpoints: everything sent to it is refused.
func EmptyUpstream(name string, connectTimeout time.Duration) *cluster.Cluster {
	c := Upstream(name, connectTimeout)
	c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}
	return c
}

// HTTPVersion is which version of HTTP an upstream is spoken to.
type HTTPVersion uint8

// The versions. SameAsDownstream takes the version of the request.
const (
	HTTP1 HTTPVersion = iota
	HTTP2
	SameAsDownstream
)

// SpeakHTTP sets the version of HTTP of an upstream, and how its connections of HTTP/2 are tried; nil leaves them alone.
func SpeakHTTP(c *cluster.Cluster, v HTTPVersion, pings *core.KeepaliveSettings) {
	options := &http.HttpProtocolOptions{}
	http2 := &core.Http2ProtocolOptions{ConnectionKeepalive: pings}
	switch v {
	case HTTP1:
		options.UpstreamProtocolOptions = &http.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &http.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &http.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{},
			},
		}
	case HTTP2:
		options.UpstreamProtocolOptions = &http.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &http.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &http.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: http2},
			},
		}
	case SameAsDownstream:
		options.UpstreamProtocolOptions = &http.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &http.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &core.Http1ProtocolOptions{},
				Http2ProtocolOptions: http2,
			},
		}
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": Any(options),
	}
}

// PingsAfterPause notices a cut link in seconds: a ping goes out with the first request after a pause
// (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/protocol.proto#config-core-v3-keepalivesettings). There
// are no others: servers of gRPC end the connections of clients that ping while they ask for nothing
// (https://github.com/grpc/grpc/blob/master/doc/keepalive.md, too_many_pings).
func PingsAfterPause() *core.KeepaliveSettings {
	return &core.KeepaliveSettings{Timeout: duration(5 * time.Second), ConnectionIdleInterval: duration(time.Second)}
}

// NoticeCutLinks makes an upstream end connections whose peer is gone: keepalive for idle ones, the user timeout for
// those with unacknowledged data. Either alone misses the other case.
func NoticeCutLinks(c *cluster.Cluster) {
	const tcpLevel, userTimeout = 6, 18 // IPPROTO_TCP, TCP_USER_TIMEOUT in milliseconds
	c.UpstreamConnectionOptions = &cluster.UpstreamConnectionOptions{TcpKeepalive: &core.TcpKeepalive{
		KeepaliveProbes: uint32Value(3), KeepaliveTime: uint32Value(10), KeepaliveInterval: uint32Value(5),
	}}
	if c.UpstreamBindConfig == nil {
		c.UpstreamBindConfig = &core.BindConfig{}
	}
	c.UpstreamBindConfig.SocketOptions = append(c.UpstreamBindConfig.SocketOptions, &core.SocketOption{
		Level: tcpLevel, Name: userTimeout, State: core.SocketOption_STATE_PREBIND,
		Value: &core.SocketOption_IntValue{IntValue: 10_000},
	})
}

// ServiceMetadata tags an upstream with the service that it is of, where Istio's tools look for it.
func ServiceMetadata(c *cluster.Cluster, host, namespace, name string) {
	service := structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"host": structpb.NewStringValue(host), "namespace": structpb.NewStringValue(namespace), "name": structpb.NewStringValue(name),
	}})
	c.Metadata = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{
		"istio": {Fields: map[string]*structpb.Value{
			"services": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{service}}),
			"host":     structpb.NewStringValue(host),
		}},
	}}
}
