package translate

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// world is a snapshot with the given number of services in each of two namespaces, two endpoints each.
func world(services int) *model.Snapshot {
	s := &model.Snapshot{
		Mesh: &model.Mesh{
			TrustDomain: "cluster.local", Domain: "cluster.local", AutoMTLS: true, ConnectTimeout: 10 * time.Second, Cluster: "c1",
		},
		Namespaces: map[string]*model.Namespace{},
		Gateways:   &model.NetworkGateways{},
	}
	for n := range 2 {
		name := fmt.Sprintf("ns%d", n)
		ns := &model.Namespace{
			Name: name, Services: map[model.Hostname]*model.Service{}, Backends: map[model.Hostname]*model.Backends{},
		}
		for i := range services {
			h := model.Hostname(fmt.Sprintf("s%d.%s.svc.cluster.local", i, name))
			ns.Services[h] = &model.Service{
				Hostname: h, Namespace: name, Name: fmt.Sprintf("s%d", i),
				Ports: []model.Port{
					{Name: "http", Number: 80, Protocol: model.HTTP},
					{Name: "tcp", Number: 9000, Protocol: model.TCP},
					{Name: "any", Number: 9100, Protocol: model.Auto},
				},
				Addresses: []model.Addresses{{Cluster: "c1", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 100, byte(n), byte(i)})}}},
			}
			ns.Backends[h] = backends(byte(n), byte(i), 1)
		}
		s.Namespaces[name] = ns
	}
	return s
}

func backends(n, i, last byte) *model.Backends {
	b := &model.Backends{Ports: map[uint16]*model.Endpoints{}, Identities: &model.Identities{URIs: []string{"spiffe://cluster.local/ns/a/sa/b"}}}
	for _, port := range []uint16{80, 9000, 9100} {
		b.Ports[port] = &model.Endpoints{Items: []model.Endpoint{
			{Address: netip.AddrFrom4([4]byte{10, n, i, last}), Port: port, Cluster: "c1", MTLS: true},
			{Address: netip.AddrFrom4([4]byte{10, n, i, 200}), Port: port, Cluster: "c2", MTLS: true},
		}}
	}
	return b
}

// withEndpoint is s with another endpoint for one port of one service; everything else keeps its pointer.
func withEndpoint(s *model.Snapshot, last byte) *model.Snapshot {
	const h = "s0.ns0.svc.cluster.local"
	next := *s
	next.Namespaces = map[string]*model.Namespace{"ns1": s.Namespaces["ns1"]}
	ns := *s.Namespaces["ns0"]
	ns.Backends = map[model.Hostname]*model.Backends{}
	for k, v := range s.Namespaces["ns0"].Backends {
		ns.Backends[k] = v
	}
	b := *ns.Backends[h]
	b.Ports = map[uint16]*model.Endpoints{}
	for k, v := range ns.Backends[h].Ports {
		b.Ports[k] = v
	}
	b.Ports[80] = &model.Endpoints{Items: []model.Endpoint{{Address: netip.AddrFrom4([4]byte{10, 9, 9, last}), Port: 80, Cluster: "c1"}}}
	ns.Backends[h] = &b
	next.Namespaces["ns0"] = &ns
	return &next
}

var sidecar = view.Proxy{Kind: view.Sidecar, Namespace: "ns0", Name: "pod", Cluster: "c1", Network: "n1"}

var everyType = []string{ClusterType, EndpointType, ListenerType, RouteType, NamesType}

// built builds all of a proxy's sets, from those of an earlier snapshot if given.
func built(s *model.Snapshot, p view.Proxy, prev map[view.Class]*Set) map[view.Class]*Set {
	sets := map[view.Class]*Set{}
	for _, typeURL := range everyType {
		for _, c := range (Generator{}).Classes(s, p, typeURL) {
			sets[c] = Generator{}.Build(s, c, prev[c])
		}
	}
	return sets
}

func TestOneEndpointRebuildsOneResource(t *testing.T) {
	t.Parallel()
	before := world(5)
	old := built(before, sidecar, nil)
	now := built(withEndpoint(before, 7), sidecar, old)
	var changed []string
	rebuilt := 0
	for c, set := range now {
		diff, removed := set.Diff(old[c])
		for _, r := range diff {
			changed = append(changed, r.Name)
		}
		if len(removed) > 0 {
			t.Errorf("removed %v", removed)
		}
		kept := map[*Resource]bool{}
		for _, r := range old[c].All() {
			kept[r] = true
		}
		for _, r := range set.All() {
			if !kept[r] {
				rebuilt++
			}
		}
	}
	if want := []string{"outbound|80||s0.ns0.svc.cluster.local"}; fmt.Sprint(changed) != fmt.Sprint(want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if rebuilt != 1 {
		t.Errorf("rebuilt %d resources, want 1", rebuilt)
	}
}

func TestIncrementalBuildEqualsOneFromNothing(t *testing.T) {
	t.Parallel()
	s := world(3)
	sets := built(s, sidecar, nil)
	for i := range byte(5) {
		s = withEndpoint(s, i)
		sets = built(s, sidecar, sets)
	}
	for c, want := range built(s, sidecar, nil) {
		if changed, removed := sets[c].Diff(want); len(changed)+len(removed) > 0 {
			t.Errorf("part %d: %d differ, %v are missing", c.Part, len(changed), removed)
		}
		if sets[c].Len() != want.Len() {
			t.Errorf("part %d has %d resources, want %d", c.Part, sets[c].Len(), want.Len())
		}
	}
}

func TestProxiesOfOneClassShareASet(t *testing.T) {
	t.Parallel()
	s := world(1)
	other := sidecar
	other.Name, other.ServiceAccount = "another", "sa"
	for _, typeURL := range everyType {
		a, b := Generator{}.Classes(s, sidecar, typeURL), Generator{}.Classes(s, other, typeURL)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: classes differ: %v, %v", typeURL, a, b)
		}
	}
}

func BenchmarkOneEndpoint(b *testing.B) {
	s := world(200)
	sets := built(s, sidecar, nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s = withEndpoint(s, byte(i))
		sets = built(s, sidecar, sets)
	}
}

func BenchmarkFromNothing(b *testing.B) {
	s := world(200)
	b.ReportAllocs()
	for b.Loop() {
		built(s, sidecar, nil)
	}
}
