package bootstrap

import (
	"math"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	downstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Names of the static upstreams and the port numbers that Istio gives a proxy.
const (
	UpstreamXDS        = "xds-grpc"
	UpstreamSDS        = "sds-grpc"
	UpstreamAgent      = "agent"
	UpstreamPrometheus = "prometheus_stats"

	AdminPort      = 15000
	StatusPort     = 15020
	ReadyPort      = 15021
	PrometheusPort = 15090
)

// Layout says where Envoy meets the agent. The zero values of the ports stand for Istio's numbers.
type Layout struct {
	XDSSocket string // Unix socket of the relay
	SDSSocket string // Unix socket of the secret server

	AdminPort      uint32 // Envoy's admin interface, on loopback
	StatusPort     uint32 // the agent's HTTP server
	ReadyPort      uint32 // Envoy's listener that passes readiness on to the agent
	PrometheusPort uint32 // Envoy's listener for its own metrics

	// Bind is the address of the two static listeners. Empty stands for all IPv4 addresses.
	Bind string
}

func (l Layout) withDefaults() Layout {
	setPort := func(port *uint32, to uint32) {
		if *port == 0 {
			*port = to
		}
	}
	setPort(&l.AdminPort, AdminPort)
	setPort(&l.StatusPort, StatusPort)
	setPort(&l.ReadyPort, ReadyPort)
	setPort(&l.PrometheusPort, PrometheusPort)
	l.Bind = orDefault(l.Bind, "0.0.0.0")
	return l
}

// Build is the configuration that Envoy starts with: everything else comes over ADS.
func Build(f Facts, l Layout) (*bootstrapv3.Bootstrap, error) {
	l = l.withDefaults()
	node, err := Node(f)
	if err != nil {
		return nil, err
	}
	runtime, err := layeredRuntime(f.Config.GetRuntimeValues())
	if err != nil {
		return nil, err
	}
	return &bootstrapv3.Bootstrap{
		Node:                node,
		LayeredRuntime:      runtime,
		BootstrapExtensions: []*corev3.TypedExtensionConfig{metricNamespace()},
		StatsConfig:         statsConfig(f),
		Admin:               &bootstrapv3.Admin{Address: tcpAddress(loopback, l.AdminPort), IgnoreGlobalConnLimit: true},
		DynamicResources:    dynamicResources(),
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: staticListeners(l),
			Clusters:  staticUpstreams(l),
		},
		OverloadManager: connectionLimit(),
		// Statistics of upstreams that nobody talks to are never made: half of the memory of a large mesh.
		DeferredStatOptions: &bootstrapv3.Bootstrap_DeferredStatOptions{EnableDeferredCreationStats: true},
		ClusterManager:      &bootstrapv3.ClusterManager{EnableDeferredClusterCreation: true},
	}, nil
}

// JSON writes the configuration as Envoy reads it.
func JSON(b *bootstrapv3.Bootstrap) ([]byte, error) {
	return protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Marshal(b)
}

// dynamicResources are never given up on: a proxy with half a configuration is worse than one that is not ready.
func dynamicResources() *bootstrapv3.Bootstrap_DynamicResources {
	ads := &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   durationpb.New(0),
	}
	return &bootstrapv3.Bootstrap_DynamicResources{
		LdsConfig: ads,
		CdsConfig: ads,
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
					ClusterName: UpstreamXDS,
					RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
						BaseInterval: durationpb.New(200 * time.Millisecond),
						MaxInterval:  durationpb.New(10 * time.Second),
					}},
				}},
			}},
		},
	}
}

// layeredRuntime holds the runtime settings; those of the user win, and an empty one takes a default away.
func layeredRuntime(user map[string]string) (*bootstrapv3.LayeredRuntime, error) {
	values := map[string]any{
		"re2.max_program_size.error_level":                         "32768",
		"envoy.reloadable_features.http_reject_path_with_fragment": "false",
	}
	for key, value := range user {
		if value == "" {
			delete(values, key)
			continue
		}
		values[key] = value
	}
	static, err := structpb.NewStruct(values)
	if err != nil {
		return nil, err
	}
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{
		{Name: "global config", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: static}},
		{Name: "admin", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}}},
	}}, nil
}

// connectionLimit only silences Envoy's warning that there is none: the number is as good as no limit.
func connectionLimit() *overloadv3.OverloadManager {
	return &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
		Name: "envoy.resource_monitors.global_downstream_max_connections",
		ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: typed(&downstreamv3.DownstreamConnectionsConfig{
			MaxActiveDownstreamConnections: math.MaxInt32,
		})},
	}}}
}

// typed wraps a message that is made in this package; such a message always encodes.
func typed(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}
