package envoy

import (
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	setstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpsetstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

// HTTPSide is on which side of the mesh an HTTP connection manager stands.
type HTTPSide uint8

// The sides: requests of the pod's application, requests to it, and requests from outside of the mesh.
const (
	Outbound HTTPSide = iota
	Inbound
	Edge
)

// HTTPFilter is one filter of an HTTP connection manager.
type HTTPFilter = hcm.HttpFilter

// HTTP is an HTTP connection manager whose routes come by RDS under routeName.
func HTTP(side HTTPSide, statPrefix, routeName string, logs []*accesslog.AccessLog, filters ...*HTTPFilter) *listener.Filter {
	m := manager(side, statPrefix, logs, filters)
	m.RouteSpecifier = &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: routeName, ConfigSource: ADS()}}
	return networkFilter("envoy.filters.network.http_connection_manager", m)
}

// HTTPWithRoutes is an HTTP connection manager with its routes inside.
func HTTPWithRoutes(side HTTPSide, statPrefix string, routes *route.RouteConfiguration, logs []*accesslog.AccessLog, filters ...*HTTPFilter) *listener.Filter {
	m := manager(side, statPrefix, logs, filters)
	m.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	return networkFilter("envoy.filters.network.http_connection_manager", m)
}

func manager(side HTTPSide, statPrefix string, logs []*accesslog.AccessLog, filters []*HTTPFilter) *hcm.HttpConnectionManager {
	m := &hcm.HttpConnectionManager{
		CodecType:         hcm.HttpConnectionManager_AUTO,
		StatPrefix:        statPrefix,
		ServerName:        "istio-envoy",
		NormalizePath:     boolValue(true),
		StreamIdleTimeout: duration(0),
		UpgradeConfigs:    []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		AccessLog:         logs,
		UseRemoteAddress:  boolValue(side == Edge),
		// Underscores and oversized requests are the application's business inside of the mesh; Envoy's own limits hold.
		Proxy_100Continue: true,
		// Health checks and old clients speak HTTP/1.0, which Envoy answers with 426 unless it is told to take it.
		HttpProtocolOptions: &core.Http1ProtocolOptions{AcceptHttp_10: true},
	}
	switch side {
	case Outbound:
	case Inbound:
		m.HttpProtocolOptions.DefaultHostForHttp_10 = "localhost" // they may name no host
		m.ForwardClientCertDetails = hcm.HttpConnectionManager_APPEND_FORWARD
		m.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: boolValue(true), Uri: true, Dns: true,
		}
	case Edge:
		m.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE_SET
		m.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: boolValue(true), Cert: true, Uri: true, Dns: true,
		}
	}
	m.HttpFilters = append(m.HttpFilters, filters...)
	m.HttpFilters = append(m.HttpFilters, httpFilter("envoy.filters.http.router", &router.Router{}))
	return m
}

func httpFilter(name string, config proto.Message) *HTTPFilter {
	return &HTTPFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: Any(config)}}
}

// OfferALPNOfRequest makes TLS towards the upstream offer the protocols that fit the version of the request: the server's
// sidecar picks its HTTP or TCP chain by them.
func OfferALPNOfRequest(http1, http2 string) *HTTPFilter {
	return httpFilter("envoy.filters.http.set_filter_state", &httpsetstate.Config{
		OnRequestHeaders: []*setstate.FilterStateValue{{
			Key: &setstate.FilterStateValue_ObjectKey{ObjectKey: "envoy.network.application_protocols"},
			Value: &setstate.FilterStateValue_FormatString{FormatString: &core.SubstitutionFormatString{
				Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
					Specifier: &core.DataSource_InlineString{
						InlineString: "%CEL(request.protocol == 'HTTP/2' ? '" + http2 + "' : '" + http1 + "')%",
					},
				}},
			}},
			SharedWithUpstream: setstate.FilterStateValue_ONCE,
		}},
	})
}

// noTimeout is how Envoy is told that a request may take any time.
const noTimeout = time.Duration(0)
