package envoy

import (
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushosts "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
)

// RouteConfiguration is a named table of virtual hosts. Routes may name upstreams that Envoy does not have yet.
func RouteConfiguration(name string, hosts []*route.VirtualHost) *route.RouteConfiguration {
	return &route.RouteConfiguration{
		Name:                     name,
		VirtualHosts:             hosts,
		ValidateClusters:         boolValue(false),
		IgnorePortInHostMatching: true,
	}
}

// VirtualHost sends every request for the domains along the routes.
func VirtualHost(name string, domains []string, routes ...*route.Route) *route.VirtualHost {
	return &route.VirtualHost{Name: name, Domains: domains, Routes: routes, IncludeRequestAttemptCount: true}
}

// anyPath matches every request.
func anyPath() *route.RouteMatch {
	return &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
}

// ForwardTo sends every request to an upstream, without a time limit.
func ForwardTo(upstream string) *route.Route {
	return forward(upstream, nil)
}

// ForwardWithRetries is ForwardTo with the mesh's default retries: requests that surely did not reach an application
// are tried twice more, on other endpoints (https://istio.io/latest/docs/concepts/traffic-management/#retries).
func ForwardWithRetries(upstream string) *route.Route {
	return forward(upstream, &route.RetryPolicy{
		RetryOn:    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
		NumRetries: uint32Value(2),
		RetryHostPredicate: []*route.RetryPolicy_RetryHostPredicate{{
			Name: "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &route.RetryPolicy_RetryHostPredicate_TypedConfig{
				TypedConfig: Any(&previoushosts.PreviousHostsPredicate{}),
			},
		}},
		HostSelectionRetryMaxAttempts: 5,
	})
}

// ForwardInbound sends every request to the application of the pod. What it did not get to read is sent again: it may
// close an idle connection at the moment that the proxy uses it.
func ForwardInbound(upstream string) *route.Route {
	return forward(upstream, &route.RetryPolicy{RetryOn: "reset-before-request", NumRetries: uint32Value(2)})
}

func forward(upstream string, retries *route.RetryPolicy) *route.Route {
	return &route.Route{
		Name:  "default",
		Match: anyPath(),
		Action: &route.Route_Route{Route: &route.RouteAction{
			ClusterSpecifier:  &route.RouteAction_Cluster{Cluster: upstream},
			Timeout:           duration(noTimeout),
			MaxStreamDuration: &route.RouteAction_MaxStreamDuration{GrpcTimeoutHeaderMax: duration(noTimeout)},
			RetryPolicy:       retries,
		}},
	}
}

// Respond answers every request with a status and no body.
func Respond(name string, status uint32) *route.Route {
	return &route.Route{
		Name:   name,
		Match:  anyPath(),
		Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{Status: status}},
	}
}

// RedirectToHTTPS answers every request with its own address under https.
func RedirectToHTTPS(name string) *route.Route {
	return &route.Route{Name: name, Match: anyPath(), Action: &route.Route_Redirect{Redirect: &route.RedirectAction{
		SchemeRewriteSpecifier: &route.RedirectAction_HttpsRedirect{HttpsRedirect: true},
	}}}
}
