package bootstrap

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// staticListeners let others read Envoy's metrics and the pod's readiness; nothing else of admin and agent gets out.
func staticListeners(l Layout) []*listenerv3.Listener {
	return []*listenerv3.Listener{
		passOn(l.Bind, l.PrometheusPort, "stats", "/stats/prometheus", UpstreamPrometheus),
		passOn(l.Bind, l.ReadyPort, "agent", "/healthz/ready", UpstreamAgent),
	}
}

// passOn is a listener that sends one path to one static upstream and answers 404 to all others.
func passOn(ip string, port uint32, statPrefix, path, upstream string) *listenerv3.Listener {
	routes := &routev3.RouteConfiguration{VirtualHosts: []*routev3.VirtualHost{{
		Name: "backend", Domains: []string{"*"},
		Routes: []*routev3.Route{{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: path}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: upstream},
			}},
		}},
	}}}
	manager := &hcmv3.HttpConnectionManager{
		CodecType:      hcmv3.HttpConnectionManager_AUTO,
		StatPrefix:     statPrefix,
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes},
		HttpFilters: []*hcmv3.HttpFilter{{
			Name:       "envoy.filters.http.router",
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(&routerv3.Router{})},
		}},
	}
	return &listenerv3.Listener{
		Name:                  fmt.Sprintf("%s_%d", ip, port),
		Address:               tcpAddress(ip, port),
		IgnoreGlobalConnLimit: true,
		TrafficDirection:      corev3.TrafficDirection_UNSPECIFIED,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: typed(manager)},
		}}}},
	}
}
