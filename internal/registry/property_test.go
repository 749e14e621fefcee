package registry_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// event is a change of one object of one cluster; a nil object deletes the key.
type event struct {
	cluster int
	key     registry.Key
	object  registry.Object
}

// randomEvent changes one of few objects, so that events meet.
func randomEvent(r *rand.Rand) event {
	ns := fmt.Sprintf("ns%d", r.IntN(3))
	number := r.IntN(3) + 1
	object := randomObject(r, ns, number)
	e := event{cluster: number, key: object.Key(), object: object}
	if r.IntN(4) == 0 {
		e.object = nil
	}
	return e
}

func randomObject(r *rand.Rand, ns string, cluster int) registry.Object {
	name := fmt.Sprintf("s%d", r.IntN(3))
	switch r.IntN(9) {
	case 0, 1:
		return randomService(r, ns, name)
	case 2, 3:
		s := slice(name, fmt.Sprintf("slice%d", r.IntN(4)))
		s.Namespace = ns
		for range r.IntN(4) {
			s.Endpoints = append(s.Endpoints, registry.SliceEndpoint{
				Address: netip.AddrFrom4([4]byte{10, byte(cluster), 0, byte(r.IntN(5))}), Pod: []string{"", "p0", "p1", "p2"}[r.IntN(4)],
				Node: fmt.Sprintf("n%d", r.IntN(2)), State: registry.EndpointState(r.IntN(3)), Hostname: []string{"", "h"}[r.IntN(2)],
			})
		}
		return s
	case 4:
		p := pod(fmt.Sprintf("p%d", r.IntN(3)), fmt.Sprintf("10.%d.0.%d", cluster, r.IntN(5)), fmt.Sprintf("n%d", r.IntN(2)))
		p.Namespace = ns
		p.ServiceAccount = fmt.Sprintf("sa%d", r.IntN(2))
		if r.IntN(2) == 0 {
			p.Labels["topology.istio.io/network"] = "pod-network"
		}
		p.Labels["v"] = fmt.Sprint(r.IntN(2))
		return p
	case 5:
		if r.IntN(2) == 0 {
			return &registry.Namespace{Name: "istio-system", Network: model.Network(fmt.Sprintf("network%d", r.IntN(3)))}
		}
		return node(fmt.Sprintf("n%d", r.IntN(2)), fmt.Sprintf("z%d", r.IntN(3)))
	case 6:
		return randomCredential(r, ns)
	default:
		gateway := &model.Gateway{Namespace: ns, Name: name, Selector: map[string]string{"v": fmt.Sprint(r.IntN(2))}}
		for range r.IntN(3) {
			gateway.Servers = append(gateway.Servers, model.GatewayServer{
				TLS: model.TLSMode(r.IntN(5)), CredentialName: fmt.Sprintf("c%d", r.IntN(2)), Port: model.Port{Number: 443},
			})
		}
		return &registry.Gateway{Model: gateway, Problems: [][]string{nil, {"odd"}}[r.IntN(2)]}
	}
}

func randomCredential(r *rand.Rand, ns string) *registry.Credential {
	c := &registry.Credential{Namespace: ns, Name: []string{"c0", "c1", "c1-cacert"}[r.IntN(3)]}
	c.Unread, c.Pair = []string{"", "forbidden"}[r.IntN(2)], []string{"", "broken"}[r.IntN(2)]
	if r.IntN(2) == 0 {
		c.Model = &model.Credential{Certificates: fmt.Sprint(r.IntN(2))}
	}
	return c
}

func randomService(r *rand.Rand, ns, name string) *registry.Service {
	s := service(name, r.IntN(3))
	s.Namespace = ns
	s.Type = registry.ServiceType(r.IntN(3))
	s.Ports = s.Ports[:1+r.IntN(2)]
	s.PublishNotReady = r.IntN(4) == 0
	if r.IntN(3) == 0 {
		s.Gateway, s.GatewayPort = model.Network(fmt.Sprintf("network%d", r.IntN(3))), 80
		s.Outside = []string{fmt.Sprintf("192.0.2.%d", r.IntN(3))}
	}
	return s
}

func apply(o *registry.Objects, e event) *registry.Objects {
	if e.object == nil {
		return o.Without(e.key)
	}
	return o.With(e.object)
}

// world is the clusters that are joined, by number.
type world map[int]*registry.Objects

func (w world) apply(e event) {
	if w[e.cluster] == nil {
		w[e.cluster] = registry.NewObjects(model.Cluster(fmt.Sprintf("cluster%d", e.cluster)))
	}
	w[e.cluster] = apply(w[e.cluster], e)
}

func (w world) list() []*registry.Objects { return slices.Collect(maps.Values(w)) }

// same compares what two snapshots say; their revisions and sources differ.
func same(a, b *model.Snapshot) string {
	return cmp.Diff(a, b, cmpopts.IgnoreFields(model.Snapshot{}, "Revision", "Source"), cmpopts.EquateEmpty(), compareAddr)
}

func TestIncrementalBuildEqualsABuildFromNothing(t *testing.T) {
	t.Parallel()
	meshes := []*model.Mesh{mesh(), mesh(), mesh()}
	meshes[1].TrustDomain = "other.example"
	meshes[2].Networks = []model.NetworkSetting{{Network: "n", Registries: []model.Cluster{"cluster2"}, Gateways: []model.NetworkGatewaySetting{
		{Service: "s1.ns1.svc.cluster.local", Port: 443},
	}}}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, m := world{}, meshes[0]
		var s *model.Snapshot
		for step := range 150 {
			switch r.IntN(25) {
			case 0:
				delete(w, r.IntN(3)+1)
			case 1:
				m = meshes[r.IntN(3)]
			default:
				for range 1 + r.IntN(3) {
					w.apply(randomEvent(r))
				}
			}
			s = registry.Build(s, w.list(), m)
			if diff := same(registry.Build(nil, w.list(), m), s); diff != "" {
				t.Fatalf("seed %d step %d (-from nothing +incremental):\n%s", seed, step, diff)
			}
			if again := registry.Build(s, w.list(), m); again != s {
				t.Fatalf("seed %d step %d: nothing changed, but the snapshot did", seed, step)
			}
		}
	}
}

// Events about different objects may come in any order; those about one object keep theirs, as in a watch.
func TestAnyOrderOfTheSameEventsGivesAnEqualSnapshot(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		last := map[string]event{}
		for range 60 {
			e := randomEvent(r)
			last[fmt.Sprint(e.cluster, e.key)] = e
		}
		events := slices.Collect(maps.Values(last))
		var first *model.Snapshot
		for order := range 4 {
			r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			w := world{1: registry.NewObjects("cluster1"), 2: registry.NewObjects("cluster2"), 3: registry.NewObjects("cluster3")}
			var s *model.Snapshot
			for _, e := range events {
				w.apply(e)
				s = registry.Build(s, w.list(), mesh())
			}
			if first == nil {
				first = s
			}
			if diff := same(first, s); diff != "" {
				t.Fatalf("seed %d order %d:\n%s", seed, order, diff)
			}
		}
	}
}

func TestRemovingAClusterRemovesExactlyItsEndpoints(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		w := world{}
		for range 200 {
			w.apply(randomEvent(r))
		}
		before := registry.Build(nil, w.list(), mesh())
		gone := r.IntN(3) + 1
		delete(w, gone)
		after := registry.Build(before, w.list(), mesh())
		name := model.Cluster(fmt.Sprintf("cluster%d", gone))
		for ns, n := range after.Namespaces {
			for host, backends := range n.Backends {
				for port, endpoints := range backends.Ports {
					want := slices.DeleteFunc(slices.Clone(endpointsAt(before, ns, host, port)), func(e model.Endpoint) bool { return e.Cluster == name })
					// Where the merged service has ports that it lacked while the lost cluster decided, there was nothing to keep.
					if had := before.Service(ns, host); had != nil && portKnown(had, port) && !slices.Equal(want, endpoints.Items) {
						t.Fatalf("seed %d: %s port %d has %v, want %v", seed, host, port, endpoints.Items, want)
					}
				}
			}
			for key := range n.Workloads {
				if key.Cluster == name {
					t.Fatalf("seed %d: workload %v stays", seed, key)
				}
			}
		}
		if slices.Contains(after.Clusters, name) {
			t.Fatalf("seed %d: %s is still a cluster", seed, name)
		}
	}
}

func endpointsAt(s *model.Snapshot, ns string, host model.Hostname, port uint16) []model.Endpoint {
	if n := s.Namespaces[ns]; n != nil && n.Backends[host] != nil && n.Backends[host].Ports[port] != nil {
		return n.Backends[host].Ports[port].Items
	}
	return nil
}

func portKnown(s *model.Service, port uint16) bool {
	_, ok := s.Port(port)
	return ok
}

func TestOneEndpointChangesOneEndpointsPointer(t *testing.T) {
	t.Parallel()
	clusters := []*registry.Objects{manyServices(1, 50, 5), manyServices(2, 50, 5)}
	before := registry.Build(nil, clusters, mesh())
	extra := slice("s7", "extra")
	extra.Namespace, extra.Ports = "ns7", extra.Ports[:1]
	extra.Endpoints = []registry.SliceEndpoint{{Address: netip.MustParseAddr("10.200.0.1"), Pod: "s7-0"}}
	after := registry.Build(before, []*registry.Objects{clusters[0], clusters[1].With(extra)}, mesh())

	var changed []string
	for name, ns := range after.Namespaces {
		was := before.Namespaces[name]
		if (ns != was) != (name == "ns7") {
			t.Errorf("namespace %s: changed %v", name, ns != was)
		}
		if !maps.Equal(ns.Services, was.Services) {
			t.Errorf("services of %s changed", name)
		}
		for host, b := range ns.Backends {
			if b.Identities != was.Backends[host].Identities {
				t.Errorf("identities of %s changed", host)
			}
			for port, e := range b.Ports {
				if e != was.Backends[host].Ports[port] {
					changed = append(changed, fmt.Sprint(host, ":", port))
				}
			}
		}
	}
	if !slices.Equal(changed, []string{"s7.ns7.svc.cluster.local:80"}) {
		t.Errorf("changed endpoints = %v, want those of s7 port 80", changed)
	}
	if after.Mesh != before.Mesh || after.Gateways != before.Gateways || after.Revision != before.Revision+1 {
		t.Errorf("mesh or gateways changed, or revision is %d after %d", after.Revision, before.Revision)
	}
}

// manyServices is a cluster with services s0, s1, ... in namespaces of their own, each with some pods.
func manyServices(cluster, services, pods int) *registry.Objects {
	var objects []registry.Object
	for i := range services {
		objects = append(objects, serviceWithPods(cluster, fmt.Sprintf("ns%d", i), i, pods)...)
	}
	return registry.NewObjects(model.Cluster(fmt.Sprintf("cluster%d", cluster)), objects...)
}

func serviceWithPods(cluster int, ns string, i, pods int) []registry.Object {
	s := service(fmt.Sprintf("s%d", i), i)
	s.Namespace = ns
	served := slice(s.Name, s.Name+"-slice")
	served.Namespace = ns
	objects := []registry.Object{s, served}
	for n := range pods {
		p := pod(fmt.Sprintf("%s-%d", s.Name, n), fmt.Sprintf("10.%d.%d.%d", cluster*16+i/256, i%256, n), "node1")
		p.Namespace = ns
		served.Endpoints = append(served.Endpoints, registry.SliceEndpoint{Address: p.Addresses[0], Pod: p.Name, Node: p.Node})
		objects = append(objects, p)
	}
	return objects
}
