package envoy

import (
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldst "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	tlsinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
)

// Names of listener filters.
const (
	tlsInspector  = "envoy.filters.listener.tls_inspector"
	httpInspector = "envoy.filters.listener.http_inspector"
	originalDst   = "envoy.filters.listener.original_dst"
)

// CaptureListener takes all captured connections on a port and hands them to the listener of their original
// destination, or to its own chains when there is none.
func CaptureListener(name string, port uint16) *listener.Listener {
	return &listener.Listener{
		Name:             name,
		Address:          SocketAddress("0.0.0.0", port),
		UseOriginalDst:   boolValue(true),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
	}
}

// InboundListener takes connections to the pod on a port. It finds out where they went and what they speak.
func InboundListener(name string, port uint16, detection time.Duration) *listener.Listener {
	l := &listener.Listener{
		Name:             name,
		Address:          SocketAddress("0.0.0.0", port),
		TrafficDirection: core.TrafficDirection_INBOUND,
		ListenerFilters: []*listener.ListenerFilter{
			listenerFilter(originalDst, &originaldst.OriginalDst{}),
			listenerFilter(tlsInspector, &tlsinspector.TlsInspector{}),
			listenerFilter(httpInspector, &httpinspector.HttpInspector{}),
		},
	}
	detectWithin(l, detection)
	return l
}

// VirtualListener has no socket of its own: it takes those captured connections that were going to its address.
func VirtualListener(name, address string, port uint16) *listener.Listener {
	return &listener.Listener{
		Name:             name,
		Address:          SocketAddress(address, port),
		BindToPort:       boolValue(false),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
	}
}

// GatewayListener binds a port of a gateway.
func GatewayListener(name string, port uint16) *listener.Listener {
	return &listener.Listener{
		Name:             name,
		Address:          SocketAddress("0.0.0.0", port),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
	}
}

// Sniff makes a listener find out TLS and HTTP from the first bytes of a connection.
func Sniff(l *listener.Listener, detection time.Duration) {
	l.ListenerFilters = append(l.ListenerFilters,
		listenerFilter(tlsInspector, &tlsinspector.TlsInspector{}),
		listenerFilter(httpInspector, &httpinspector.HttpInspector{}))
	detectWithin(l, detection)
}

// SniffTLS makes a listener read the server name and protocols that a client asks for.
func SniffTLS(l *listener.Listener) {
	l.ListenerFilters = append(l.ListenerFilters, listenerFilter(tlsInspector, &tlsinspector.TlsInspector{}))
}

// A client that says nothing (it waits for the server to speak first) gets the chain for unknown protocols when the
// time is over. Zero waits without end.
func detectWithin(l *listener.Listener, detection time.Duration) {
	l.ListenerFiltersTimeout = duration(detection)
	l.ContinueOnListenerFiltersTimeout = true
}

func listenerFilter(name string, config proto.Message) *listener.ListenerFilter {
	return &listener.ListenerFilter{
		Name:       name,
		ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: Any(config)},
	}
}

// Match is which connections a filter chain takes. Zero fields match everything.
type Match struct {
	Port        uint16   // of the original destination
	Transport   string   // tls or raw_buffer
	Protocols   []string // one of what the client offers by ALPN, or what the first bytes look like
	ServerNames []string
}

// Chain is a filter chain: what it takes, the server side of TLS (nil for none), and its filters.
func Chain(name string, match Match, socket *core.TransportSocket, filters ...*listener.Filter) *listener.FilterChain {
	c := &listener.FilterChain{
		Name:            name,
		TransportSocket: socket,
		Filters:         filters,
		FilterChainMatch: &listener.FilterChainMatch{
			TransportProtocol:    match.Transport,
			ApplicationProtocols: match.Protocols,
			ServerNames:          match.ServerNames,
		},
	}
	if match.Port != 0 {
		c.FilterChainMatch.DestinationPort = uint32Value(uint32(match.Port))
	}
	if socket != nil {
		c.TransportSocketConnectTimeout = duration(15 * time.Second)
	}
	return c
}

// TCPProxy forwards the bytes of a connection to an upstream.
func TCPProxy(statPrefix, upstream string, logs []*accesslog.AccessLog) *listener.Filter {
	return networkFilter("envoy.filters.network.tcp_proxy", &tcpproxy.TcpProxy{
		StatPrefix:       statPrefix,
		ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: upstream},
		AccessLog:        logs,
	})
}

func networkFilter(name string, config proto.Message) *listener.Filter {
	return &listener.Filter{Name: name, ConfigType: &listener.Filter_TypedConfig{TypedConfig: Any(config)}}
}
