package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/envoy"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// gatewayListeners are what a gateway binds, one listener a port.
func gatewayListeners(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	for _, p := range view.GatewayPorts(s, c) {
		b.shard(fmt.Sprint(p.Number), nil, func(sb *shardBuilder) {
			name := fmt.Sprintf("0.0.0.0_%d", p.Bind)
			source := gatewaySource{mesh: s.Mesh, bind: p.Bind, servers: p.Servers}
			if hosts := passedHosts(p); len(hosts) > 0 {
				source.names = sniNames(s, hosts)
			}
			if chains := gatewayChains(p, source); len(chains) > 0 {
				sb.add(name, source, func() proto.Message { return gatewayListener(name, p, chains, s.Mesh) })
			}
		})
	}
	return b.done()
}

// gatewaySource is what the listener of a gateway's port is made from.
type gatewaySource struct {
	mesh    *model.Mesh
	bind    uint16
	servers []view.BoundServer
	names   []string // server names of the services that are passed through
}

// Equal compares the lists by their items.
func (g gatewaySource) Equal(other any) bool {
	o, ok := other.(gatewaySource)
	return ok && g.mesh == o.mesh && g.bind == o.bind && slices.Equal(g.names, o.names) &&
		slices.EqualFunc(g.servers, o.servers, func(a, b view.BoundServer) bool { return a.Gateway == b.Gateway })
}

func passedHosts(p view.Port) []string {
	var hosts []string
	for _, s := range p.Servers {
		if s.Server.TLS == model.AutoPassthrough {
			hosts = append(hosts, s.Server.Hosts...)
		}
	}
	return hosts
}

// sniNames are the server names of all service ports that hosts name, sorted.
func sniNames(s *model.Snapshot, hosts []string) []string {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(s.Namespaces)) {
		for _, svc := range s.Namespaces[key].Services {
			for _, p := range svc.Ports {
				if passes(hosts, svc, p) {
					names = append(names, view.SNIName(p.Number, svc.Hostname))
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

func gatewayListener(name string, p view.Port, chains []*listener.FilterChain, mesh *model.Mesh) *listener.Listener {
	l := envoy.GatewayListener(name, p.Bind)
	l.FilterChains = chains
	if p.Servers[0].Server.TLS != model.NoTLS {
		envoy.SniffTLS(l)
	}
	// A connection that no chain takes is closed; the log says so.
	l.AccessLog = accessLog(mesh)
	return l
}

// gatewayChains are the chains of one port: a chain for each service that is passed through by server name, a chain
// for each server with a certificate, one for plain HTTP.
func gatewayChains(p view.Port, source gatewaySource) []*listener.FilterChain {
	var chains []*listener.FilterChain
	for _, name := range source.names {
		// Only mutual TLS between sidecars is passed on, which offers its protocols by these names: the workload at the
		// end demands and checks the client's certificate.
		chains = append(chains, envoy.Chain(name, envoy.Match{Transport: "tls", ServerNames: []string{name}, Protocols: offersAny},
			nil, envoy.TCPProxy(name, name, accessLog(source.mesh))))
	}
	plain, taken := false, serverNames{}
	for i, s := range p.Servers {
		switch s.Server.TLS {
		case model.NoTLS:
			plain = plain || s.Server.Port.Protocol.IsHTTP()
		case model.Simple, model.Mutual:
			if names, ok := taken.claim(s.Server.Hosts); ok {
				chains = append(chains, terminating(s, names, gatewayRoute(p, i), source.mesh))
			}
		case model.Passthrough, model.AutoPassthrough:
			// Passthrough servers get their chains from the routes of VirtualServices.
		}
	}
	if plain {
		chains = append(chains, envoy.Chain("", envoy.Match{}, nil,
			envoy.HTTP(envoy.Edge, fmt.Sprintf("outbound_0.0.0.0_%d;", p.Bind), httpRoute(p), accessLog(source.mesh))))
	}
	return chains
}

// serverNames are those that have a chain. Envoy refuses a listener in which two chains take the same.
type serverNames map[string]bool

// claim gives those names of a server that no older one has, and whether there are any. A server for every host takes the
// rest, which is the empty list.
func (t serverNames) claim(hosts []string) (names []string, ok bool) {
	if slices.Contains(hosts, "*") && !t["*"] {
		t["*"] = true
		return nil, true
	}
	for _, h := range hosts {
		if h = strings.ToLower(h); !t[h] {
			t[h] = true
			names = append(names, h)
		}
	}
	return names, len(names) > 0
}

// terminating ends TLS with the certificate of a Secret in the namespace of the gateway's pods. While there is none, Envoy
// closes the connections to this server and serves the others.
func terminating(s view.BoundServer, names []string, routeName string, mesh *model.Mesh) *listener.FilterChain {
	secret, roots := view.CertificateName(s.Server), ""
	if s.Server.TLS == model.Mutual {
		roots = view.RootsName(s.Server)
	}
	versions := envoy.TLSVersions{Min: int32(s.Server.MinTLS), Max: int32(s.Server.MaxTLS)}
	return envoy.Chain("", envoy.Match{Transport: "tls", ServerNames: names},
		envoy.ServerTLS([]string{"h2", "http/1.1"}, versions, secret, roots),
		envoy.HTTP(envoy.Edge, "outbound_"+routeName+";", routeName, accessLog(mesh)))
}

func httpRoute(p view.Port) string { return fmt.Sprintf("http.%d", p.Number) }

func gatewayRoute(p view.Port, i int) string {
	s := p.Servers[i]
	return fmt.Sprintf("https.%d.%s.%s.%s", s.Server.Port.Number, s.Server.Port.Name, s.Gateway.Name, s.Gateway.Namespace)
}

// gatewayRoutes are the routes of a gateway's HTTP servers. Hosts that no rule routes are answered with 404.
func gatewayRoutes(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	for _, p := range view.GatewayPorts(s, c) {
		b.shard(fmt.Sprint(p.Number), nil, func(sb *shardBuilder) {
			if answers := plainAnswers(p); len(answers.redirected)+len(answers.unknown) > 0 {
				name := httpRoute(p)
				sb.add(name, answers, func() proto.Message { return unrouted(name, p.Number, answers) })
			}
			for i, srv := range p.Servers {
				switch srv.Server.TLS {
				case model.NoTLS:
				case model.Simple, model.Mutual:
					name := gatewayRoute(p, i)
					sb.add(name, false, func() proto.Message { return unrouted(name, p.Number, gatewayAnswers{}) })
				case model.Passthrough, model.AutoPassthrough:
				}
			}
		})
	}
	return b.done()
}

// gatewayAnswers are the domains of a port by what the gateway answers for them itself. A domain is there once.
type gatewayAnswers struct {
	redirected, unknown []string
}

// Equal compares the lists by their items.
func (g gatewayAnswers) Equal(other any) bool {
	o, ok := other.(gatewayAnswers)
	return ok && slices.Equal(g.redirected, o.redirected) && slices.Equal(g.unknown, o.unknown)
}

// plainAnswers goes by the hosts of each server without TLS: one may redirect to HTTPS what another serves.
func plainAnswers(p view.Port) (g gatewayAnswers) {
	taken := serverNames{}
	for _, s := range p.Servers {
		if s.Server.TLS != model.NoTLS {
			continue
		}
		names, ok := taken.claim(s.Server.Hosts)
		if ok && len(names) == 0 {
			names = []string{"*"}
		}
		if s.Server.HTTPSRedirect {
			g.redirected = append(g.redirected, names...)
		} else {
			g.unknown = append(g.unknown, names...)
		}
	}
	return g
}

func unrouted(name string, port uint16, answers gatewayAnswers) *route.RouteConfiguration {
	var hosts []*route.VirtualHost
	unknown := answers.unknown
	if len(answers.redirected) > 0 {
		hosts = append(hosts, envoy.VirtualHost(fmt.Sprintf("redirect:%d", port), answers.redirected, envoy.RedirectToHTTPS("default")))
	}
	switch {
	case len(answers.redirected) == 0:
		unknown = []string{"*"}
	case !slices.Contains(answers.redirected, "*") && !slices.Contains(unknown, "*"):
		unknown = append(slices.Clone(unknown), "*")
	}
	if len(unknown) > 0 {
		hosts = append(hosts, envoy.VirtualHost(fmt.Sprintf("blackhole:%d", port), unknown, envoy.Respond("default", 404)))
	}
	return envoy.RouteConfiguration(name, hosts)
}
