package translate

import (
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/envoy"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// Names of upstreams that belong to no service, as Istio has them.
const (
	passThrough        = "PassthroughCluster"
	blackHole          = "BlackHoleCluster"
	inboundPassThrough = "InboundPassthroughCluster"
)

// inboundSource is the address that connections to the application come from. Capture lets them pass.
const inboundSource = "127.0.0.6"

// What a client offers by ALPN, for the server's sidecar to pick its chain by: it negotiates the last name, and looks for
// the first ones in what is offered (https://github.com/istio/istio/wiki/Protocol-sniffing).
var (
	alpnTCP   = []string{"istio"}
	alpnHTTP1 = []string{"istio-http/1.1", "istio", "http/1.1"}
	alpnHTTP2 = []string{"istio-h2", "istio", "h2"}
)

func upstreams(prev *Set, s *model.Snapshot, _ view.Class) *Set {
	b := newSetBuilder(prev)
	b.shard("", s.Mesh, func(sb *shardBuilder) {
		sb.add(passThrough, s.Mesh, func() proto.Message {
			c := envoy.PassThroughUpstream(passThrough, s.Mesh.ConnectTimeout)
			envoy.SpeakHTTP(c, envoy.SameAsDownstream, nil)
			return c
		})
		sb.add(blackHole, s.Mesh, func() proto.Message { return envoy.EmptyUpstream(blackHole, s.Mesh.ConnectTimeout) })
	})
	for name, ns := range s.Namespaces {
		b.shard(name, nsSource{ns, s.Mesh}, func(sb *shardBuilder) {
			view.UpstreamsIn(s, ns, func(u view.Upstream) {
				sb.add(u.Name(), u, func() proto.Message { return upstream(u) })
			})
		})
	}
	return b.done()
}

// nsSource is what the shard of a namespace reads: the namespace and what holds for the mesh.
type nsSource struct {
	namespace *model.Namespace
	mesh      *model.Mesh
}

// upstream writes the upstream of a service's port.
func upstream(u view.Upstream) *cluster.Cluster {
	var c *cluster.Cluster
	if u.Service.Headless {
		c = envoy.PassThroughUpstream(u.Name(), u.Mesh.ConnectTimeout)
	} else {
		c = envoy.EDSUpstream(u.Name(), u.Mesh.ConnectTimeout)
	}
	alpn := alpnTCP
	switch {
	case u.Port.Protocol.IsHTTP2():
		envoy.SpeakHTTP(c, envoy.HTTP2, envoy.PingsAfterPause())
		alpn = alpnHTTP2
	case u.Port.Protocol == model.HTTP:
		envoy.SpeakHTTP(c, envoy.HTTP1, nil)
		alpn = alpnHTTP1
	case u.Port.Protocol == model.Auto:
		// Requests on such a port say by filter state which protocols to offer.
		envoy.SpeakHTTP(c, envoy.SameAsDownstream, envoy.PingsAfterPause())
	}
	envoy.NoticeCutLinks(c)
	envoy.ServiceMetadata(c, string(u.Service.Hostname), u.Service.Namespace, u.Service.Name)
	if u.Mesh.AutoMTLS {
		secure(c, u, alpn)
	}
	return c
}

func secure(c *cluster.Cluster, u view.Upstream, alpn []string) {
	var identities []string
	if u.Identities != nil {
		identities = u.Identities.URIs
	}
	socket := envoy.ClientMTLS(u.SNI(), alpn, identities)
	switch {
	case !u.Service.Headless:
		envoy.MTLSWhereSpoken(c, socket)
	case u.AllMTLS:
		c.TransportSocket = socket
	}
}

// sniUpstreams are what an AUTO_PASSTHROUGH gateway forwards to: the same endpoints under the names that clients ask for
// as server names, without TLS of its own.
func sniUpstreams(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	hosts := view.PassesBySNI(s, c)
	b.shard("", s.Mesh, func(sb *shardBuilder) {
		sb.add(blackHole, s.Mesh, func() proto.Message { return envoy.EmptyUpstream(blackHole, s.Mesh.ConnectTimeout) })
	})
	for name, ns := range s.Namespaces {
		b.shard(name, sniSource{ns, s.Mesh, joined(hosts)}, func(sb *shardBuilder) {
			view.UpstreamsIn(s, ns, func(u view.Upstream) {
				if !passes(hosts, u.Service, u.Port) {
					return
				}
				source := sniUpstream{name: u.SNI(), mesh: s.Mesh}
				sb.add(u.SNI(), source, func() proto.Message {
					c := envoy.EDSUpstream(u.SNI(), s.Mesh.ConnectTimeout)
					envoy.NoticeCutLinks(c)
					envoy.ServiceMetadata(c, string(u.Service.Hostname), u.Service.Namespace, u.Service.Name)
					return c
				})
			})
		})
	}
	return b.done()
}

type sniSource struct {
	namespace *model.Namespace
	mesh      *model.Mesh
	hosts     string
}

type sniUpstream struct {
	name string
	mesh *model.Mesh
}

// passes says whether a port of a service is offered to other networks. Headless services are not: a connection by server
// name could not say which of their pods it wants.
func passes(hosts []string, svc *model.Service, p model.Port) bool {
	return !svc.Headless && p.Protocol != model.UDP && view.HostMatches(hosts, svc.Hostname)
}

// inboundUpstreams lead to the application of the pod.
func inboundUpstreams(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	b.shard("inbound", s.Mesh, func(sb *shardBuilder) {
		add := func(name string) {
			sb.add(name, s.Mesh, func() proto.Message {
				c := envoy.InboundUpstream(name, inboundSource, s.Mesh.ConnectTimeout)
				envoy.SpeakHTTP(c, envoy.SameAsDownstream, nil)
				return c
			})
		}
		add(inboundPassThrough)
		for _, p := range view.InboundPorts(c.Workload) {
			add(view.InboundName(p.TargetPort))
		}
	})
	return b.done()
}
