package registry

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// gathered is what the slices of all clusters say about one service.
type gathered struct {
	ports      map[uint16][]model.Endpoint
	identities map[string]bool
	names      map[string][]netip.Addr
}

// backends makes what is behind a service. It shares every part that is equal to the one in was, which may be nil.
func (b *builder) backends(e *edit, service *model.Service, defined []definition, was *model.Backends) *model.Backends {
	g := gathered{
		ports:      make(map[uint16][]model.Endpoint, len(service.Ports)),
		identities: make(map[string]bool),
	}
	for _, p := range service.Ports {
		g.ports[p.Number] = nil
	}
	for _, d := range defined {
		for _, s := range e.slices[sliceKey{d.in, d.Name}] {
			b.gather(&g, d, s, service.Headless)
		}
	}
	if was == nil {
		was = &model.Backends{}
	}
	next := &model.Backends{
		Ports:      make(map[uint16]*model.Endpoints, len(g.ports)),
		Identities: &model.Identities{URIs: slices.Sorted(maps.Keys(g.identities))},
		Pods:       sortNames(g.names),
	}
	if was.Identities != nil && slices.Equal(was.Identities.URIs, next.Identities.URIs) {
		next.Identities = was.Identities
	}
	for number, items := range g.ports {
		items = sortEndpoints(items)
		if old := was.Ports[number]; old != nil && slices.Equal(old.Items, items) {
			next.Ports[number] = old
		} else {
			next.Ports[number] = &model.Endpoints{Items: items}
		}
	}
	if next.Identities == was.Identities && maps.Equal(next.Ports, was.Ports) && maps.EqualFunc(next.Pods, was.Pods, slices.Equal[[]netip.Addr]) {
		return was
	}
	return next
}

// gather adds what one slice says. An endpoint whose pod is not known yet waits for it: until then nobody can say whether
// it speaks mutual TLS and who it may be. Identities do not depend on readiness, so they stay while pods come and go.
func (b *builder) gather(g *gathered, d definition, s *Slice, headless bool) {
	ns := d.in.Objects.namespace(s.Namespace)
	for i := range s.Endpoints {
		from := &s.Endpoints[i]
		var pod *Pod
		if from.Pod != "" {
			if pod = ns.pod(from.Pod); pod == nil {
				continue
			}
			b.addIdentities(g.identities, pod)
		}
		if from.State == NotReady && !d.PublishNotReady {
			continue
		}
		endpoint := b.endpoint(d.in, from, pod)
		endpoint.Namespace = s.Namespace
		for _, target := range s.Ports {
			number, ok := d.numberOf(target.Name)
			if _, served := g.ports[number]; ok && served {
				endpoint.Port = target.Number
				g.ports[number] = append(g.ports[number], endpoint)
			}
		}
		if headless && from.Hostname != "" {
			if g.names == nil {
				g.names = make(map[string][]netip.Addr)
			}
			g.names[from.Hostname] = append(g.names[from.Hostname], from.Address)
		}
	}
}

// numberOf finds the service port behind a slice's port, which carries its name.
func (s *Service) numberOf(name string) (uint16, bool) {
	for _, p := range s.Ports {
		if p.Name == name {
			return p.Number, true
		}
	}
	return 0, false
}

// endpoint describes an endpoint but for its port. Pod is nil for one that is no pod.
func (b *builder) endpoint(c *cluster, from *SliceEndpoint, pod *Pod) model.Endpoint {
	out := model.Endpoint{
		Address:  from.Address,
		Cluster:  c.Objects.Cluster,
		Network:  b.networkOf(c, pod, from.Address),
		Draining: from.State == Draining,
	}
	if pod == nil {
		out.Locality = c.Objects.locality(from.Node)
		return out
	}
	out.Locality = pod.locality(c.Objects)
	out.MTLS = pod.mtls()
	out.Workload = pod.Workload
	out.CanonicalName = pod.canonicalName()
	out.CanonicalRevision = pod.canonicalRevision()
	return out
}

// addIdentities adds who the pod may show itself as: its service account under the trust domain and each alias of it.
func (b *builder) addIdentities(to map[string]bool, pod *Pod) {
	account := "/ns/" + pod.Namespace + "/sa/" + pod.ServiceAccount
	to["spiffe://"+b.mesh.TrustDomain+account] = true
	for _, alias := range b.mesh.TrustAliases {
		to["spiffe://"+alias+account] = true
	}
}

// sortEndpoints orders endpoints and leaves out those that two slices share, as they may while one is split.
func sortEndpoints(items []model.Endpoint) []model.Endpoint {
	slices.SortFunc(items, compareEndpoints)
	return slices.CompactFunc(items, func(a, b model.Endpoint) bool {
		return a.Cluster == b.Cluster && a.Address == b.Address && a.Port == b.Port
	})
}

// compareEndpoints orders by cluster, address and port; a ready endpoint comes before the same one that drains.
func compareEndpoints(a, b model.Endpoint) int {
	return cmp.Or(
		cmp.Compare(a.Cluster, b.Cluster), a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port),
		compareBool(a.Draining, b.Draining), strings.Compare(a.Workload, b.Workload),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func sortNames(names map[string][]netip.Addr) map[string][]netip.Addr {
	for name, ips := range names {
		slices.SortFunc(ips, netip.Addr.Compare)
		names[name] = slices.Compact(ips)
	}
	return names
}
