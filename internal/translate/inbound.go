package translate

import (
	"fmt"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/envoy"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// What clients of the mesh offer by ALPN for requests, and for bytes.
var (
	offersHTTP = []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	offersTCP  = []string{"istio-peer-exchange", "istio"}
	offersAny  = append(append([]string{}, offersHTTP...), offersTCP...)
)

// What the server agrees to.
var (
	serverHTTP = []string{"h2", "http/1.1"}
	serverTCP  = []string{"h2", "http/1.1"}
)

// inboundListener is the one listener of a sidecar for connections to its pod. Mutual TLS is taken from clients that
// offer it, plain text from others (Istio: PeerAuthentication mode PERMISSIVE, the default).
func inboundListener(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	b.shard("inbound", s.Mesh, func(sb *shardBuilder) {
		sb.add(virtualInbound, s.Mesh, func() proto.Message {
			l := envoy.InboundListener(virtualInbound, virtualInboundPort, s.Mesh.Detection.Inbound)
			l.FilterChains = append(l.FilterChains, envoy.Chain("virtualInbound-blackhole", envoy.Match{Port: virtualInboundPort},
				nil, envoy.TCPProxy(blackHole, blackHole, nil)))
			for _, p := range view.InboundPorts(c.Workload) {
				l.FilterChains = append(l.FilterChains, inboundPort(p, s.Mesh)...)
			}
			rest := permissive(inboundChains{
				mesh: s.Mesh, protocol: model.Auto, name: virtualInbound,
				tcp:  envoy.TCPProxy(inboundPassThrough, inboundPassThrough, accessLog(s.Mesh)),
				http: inboundHTTP(inboundPassThrough, "inbound|http|0", s.Mesh),
			})
			l.FilterChains = append(l.FilterChains, rest...)
			return l
		})
	})
	return b.done()
}

func inboundPort(p view.InboundPort, mesh *model.Mesh) []*listener.FilterChain {
	upstream := view.InboundName(p.TargetPort)
	return permissive(inboundChains{
		mesh: mesh, protocol: p.Protocol, name: fmt.Sprintf("0.0.0.0_%d", p.TargetPort), port: p.TargetPort,
		tcp:  envoy.TCPProxy(upstream, upstream, accessLog(mesh)),
		http: inboundHTTP(upstream, fmt.Sprintf("inbound|http|%d", p.ServicePort), mesh),
	})
}

// inboundHTTP hands requests to the application.
func inboundHTTP(upstream, host string, mesh *model.Mesh) *listener.Filter {
	routes := envoy.RouteConfiguration(upstream, nil)
	routes.VirtualHosts = append(routes.VirtualHosts, envoy.VirtualHost(host, []string{"*"}, envoy.ForwardInbound(upstream)))
	return envoy.HTTPWithRoutes(envoy.Inbound, "inbound_"+upstream+";", routes, accessLog(mesh))
}

// inboundChains is what the chains of one port are made of. Port 0 is all other ports.
type inboundChains struct {
	mesh      *model.Mesh
	protocol  model.Protocol
	name      string
	port      uint16
	tcp, http *listener.Filter
}

// permissive gives the chains of a port that takes mutual TLS and plain text (wire.md 5.4).
func permissive(in inboundChains) []*listener.FilterChain {
	domains := append([]string{in.mesh.TrustDomain}, in.mesh.TrustAliases...)
	chain := func(transport string, offered []string, filter *listener.Filter) *listener.FilterChain {
		match := envoy.Match{Port: in.port, Transport: transport, Protocols: offered}
		switch {
		case transport != "tls" || len(offered) == 0:
			return envoy.Chain(in.name, match, nil, filter)
		case filter == in.http:
			return envoy.Chain(in.name, match, envoy.ServerMTLS(serverHTTP, domains), filter)
		default:
			return envoy.Chain(in.name, match, envoy.ServerMTLS(serverTCP, domains), filter)
		}
	}
	switch {
	case in.protocol.IsHTTP():
		return []*listener.FilterChain{
			chain("tls", offersAny, in.http),
			chain("raw_buffer", nil, in.http),
		}
	case in.protocol == model.Auto:
		return []*listener.FilterChain{
			chain("tls", offersHTTP, in.http),
			chain("raw_buffer", looksLikeHTTP, in.http),
			chain("tls", offersTCP, in.tcp),
			chain("raw_buffer", nil, in.tcp),
			chain("tls", nil, in.tcp),
		}
	default:
		return []*listener.FilterChain{
			chain("tls", offersAny, in.tcp),
			chain("tls", nil, in.tcp),
			chain("raw_buffer", nil, in.tcp),
		}
	}
}

func accessLog(mesh *model.Mesh) []*accesslog.AccessLog {
	return envoy.FileLog(mesh.AccessLogFile, mesh.AccessLogFormat, mesh.AccessLogJSON)
}
