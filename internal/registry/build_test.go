package registry_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

func build(clusters ...*registry.Objects) *model.Snapshot {
	return registry.Build(nil, clusters, mesh())
}

func TestServiceOfTwoClustersHasEndpointsOfBoth(t *testing.T) {
	t.Parallel()
	s := build(cart(2, 5), cart(1, 9))
	want := []string{"10.1.0.1:8080", "10.1.0.2:8080", "10.2.0.1:8080", "10.2.0.2:8080"}
	if diff := cmp.Diff(want, addresses(s, cartHost, 80)); diff != "" {
		t.Errorf("endpoints of port 80 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]model.Cluster{"cluster1", "cluster2"}, s.Clusters); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
	first := s.Namespaces["shop"].Backends[cartHost].Ports[80].Items[0]
	want1 := model.Endpoint{
		Address: netip.MustParseAddr("10.1.0.1"), Port: 8080, Cluster: "cluster1", Network: "network1",
		Locality: model.Locality{Region: "eu", Zone: "z1"}, MTLS: true,
		Namespace: "shop", Workload: "cart", CanonicalName: "cart", CanonicalRevision: "v1",
	}
	if first != want1 {
		t.Errorf("first endpoint = %+v, want %+v", first, want1)
	}
	ids := s.Namespaces["shop"].Backends[cartHost].Identities.URIs
	if want := []string{"spiffe://cluster.local/ns/shop/sa/sa-a", "spiffe://cluster.local/ns/shop/sa/sa-b"}; !slices.Equal(ids, want) {
		t.Errorf("identities = %v, want %v", ids, want)
	}
	if got := s.Service("shop", cartHost).Addresses[0].Cluster; got != "cluster2" {
		t.Errorf("first addresses are of %s, want cluster2, which defined the service first", got)
	}
}

func TestOldestDefinitionDecidesAndTheOthersAreProblems(t *testing.T) {
	t.Parallel()
	young := service("cart", 9)
	young.Type = registry.Headless
	young.Ports = []registry.ServicePort{{Name: "http", Number: 80, Protocol: model.TCP}, {Name: "new", Number: 81}}
	s := build(registry.NewObjects("cluster1", young), cart(2, 5))
	merged := s.Service("shop", cartHost)
	want := []model.Port{{Name: "http", Number: 80, Protocol: model.HTTP}, {Name: "tcp", Number: 9000, Protocol: model.TCP}}
	if diff := cmp.Diff(want, merged.Ports); diff != "" || merged.Headless {
		t.Errorf("headless %v, ports (-want +got):\n%s", merged.Headless, diff)
	}
	all := strings.Join(texts(s.Problems), "\n")
	for _, want := range []string{"is Headless here and ClusterIP in cluster cluster2", "port 80 is tcp here and http", "port 81 is not in", "port 9000 of the older"} {
		if !strings.Contains(all, "Service shop/cart in cluster cluster1: ") || !strings.Contains(all, want) {
			t.Errorf("no problem says %q in:\n%s", want, all)
		}
	}
}

func TestExternalNameIsNoServiceOfTheMesh(t *testing.T) {
	t.Parallel()
	pointer := service("cart", 0)
	pointer.Type = registry.ExternalName
	if s := build(registry.NewObjects("cluster1", pointer)); len(s.Namespaces) != 0 {
		t.Errorf("namespaces = %v, want none", s.Namespaces)
	}
	s := build(registry.NewObjects("cluster1", pointer), cart(2, 5))
	if s.Service("shop", cartHost) == nil || len(s.Problems) != 1 {
		t.Errorf("service %v with problems %v, want cluster2's with one problem", s.Service("shop", cartHost), s.Problems)
	}
}

func TestPortsAreMatchedByNameInTheirOwnCluster(t *testing.T) {
	t.Parallel()
	other := service("cart", 9)
	other.Ports[0].Name = "web"
	p := pod("a", "10.2.0.1", "")
	served := slice("cart", "cart-1", p)
	served.Ports[0].Name = "web"
	s := build(cart(1, 5), registry.NewObjects("cluster2", other, p, served))
	want := []string{"10.1.0.1:8080", "10.1.0.2:8080", "10.2.0.1:8080"}
	if diff := cmp.Diff(want, addresses(s, cartHost, 80)); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func TestReadinessDecidesWhatServes(t *testing.T) {
	t.Parallel()
	a, b, c := pod("a", "10.1.0.1", ""), pod("b", "10.1.0.2", ""), pod("c", "10.1.0.3", "")
	states := slice("cart", "cart-1", a, b, c)
	states.Endpoints[1].State = registry.NotReady
	states.Endpoints[2].State = registry.Draining
	objects := registry.NewObjects("cluster1", service("cart", 0), a, b, c, states)
	s := build(objects)
	items := s.Namespaces["shop"].Backends[cartHost].Ports[80].Items
	if len(items) != 2 || items[0].Draining || !items[1].Draining {
		t.Errorf("endpoints = %+v, want a ready and c draining", items)
	}
	if n := len(s.Namespaces["shop"].Backends[cartHost].Identities.URIs); n != 3 {
		t.Errorf("%d identities, want 3: one that is not ready counts", n)
	}
	if n := len(s.Workload("cluster1", "shop", "b").Inbound); n != 2 {
		t.Errorf("%d inbound ports of a pod that is not ready, want 2", n)
	}

	publish := service("cart", 0)
	publish.PublishNotReady = true
	if got := addresses(build(objects.With(publish)), cartHost, 80); len(got) != 3 {
		t.Errorf("endpoints with publishNotReadyAddresses = %v, want 3", got)
	}
}

func TestEndpointWaitsForItsPod(t *testing.T) {
	t.Parallel()
	a := pod("a", "10.1.0.1", "")
	objects := registry.NewObjects("cluster1", service("cart", 0), slice("cart", "cart-1", a))
	before := build(objects)
	if got := addresses(before, cartHost, 80); len(got) != 0 {
		t.Errorf("endpoints before the pod = %v, want none", got)
	}
	after := registry.Build(before, []*registry.Objects{objects.With(a)}, mesh())
	if got := addresses(after, cartHost, 80); len(got) != 1 {
		t.Errorf("endpoints with the pod = %v, want one", got)
	}
}

func TestDualStackAndPlainEndpoints(t *testing.T) {
	t.Parallel()
	s6 := slice("cart", "cart-6")
	s6.Endpoints = []registry.SliceEndpoint{{Address: netip.MustParseAddr("fd00::1"), Node: "node1"}}
	s := build(cart(1, 0).With(s6))
	want := []string{"10.1.0.1:8080", "10.1.0.2:8080", "[fd00::1]:8080"}
	if diff := cmp.Diff(want, addresses(s, cartHost, 80)); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	plain := s.Namespaces["shop"].Backends[cartHost].Ports[80].Items[2]
	if plain.MTLS || plain.Locality.Zone != "z1" {
		t.Errorf("endpoint without a pod = %+v, want plain text and its node's locality", plain)
	}
}

func TestInboundPortsComeFromTheOwnCluster(t *testing.T) {
	t.Parallel()
	s := build(cart(1, 9), cart(2, 0))
	w := s.Workload("cluster1", "shop", "a")
	want := []model.Inbound{
		{TargetPort: 8080, ServicePort: model.Port{Name: "http", Number: 80, Protocol: model.HTTP}, Service: cartHost},
		{TargetPort: 9000, ServicePort: model.Port{Name: "tcp", Number: 9000, Protocol: model.TCP}, Service: cartHost},
	}
	if diff := cmp.Diff(want, w.Inbound); diff != "" {
		t.Errorf("inbound (-want +got):\n%s", diff)
	}
	if w.ServiceAccount != "sa-a" || w.Locality.Zone != "z1" || w.Network != "network1" || w.Labels["app"] != "cart" {
		t.Errorf("workload = %+v", w)
	}
}

func TestHeadlessServiceNamesItsPods(t *testing.T) {
	t.Parallel()
	headless := service("cart", 0)
	headless.Type, headless.Addresses = registry.Headless, nil
	a := pod("a", "10.1.0.1", "")
	named := slice("cart", "cart-1", a)
	named.Endpoints[0].Hostname = "cart-0"
	s := build(registry.NewObjects("cluster1", headless, a, named))
	want := map[string][]netip.Addr{"cart-0": {a.Addresses[0]}}
	if got := s.Namespaces["shop"].Backends[cartHost].Pods; !maps.EqualFunc(got, want, slices.Equal[[]netip.Addr]) {
		t.Errorf("pods = %v, want %v", got, want)
	}
	if got := s.Service("shop", cartHost); !got.Headless || got.AddressesIn("cluster1") != nil {
		t.Errorf("service = %+v, want a headless one", got)
	}
}

func TestMostSpecificSettingDecidesClusterLocal(t *testing.T) {
	t.Parallel()
	m := mesh()
	m.ClusterLocal = append(m.ClusterLocal,
		model.HostSetting{Host: "*.shop.svc.cluster.local", ClusterLocal: true},
		model.HostSetting{Host: "open.shop.svc.cluster.local", ClusterLocal: false},
		model.HostSetting{Host: "*.kube-system.svc.cluster.local", ClusterLocal: false},
	)
	in := func(namespace, name string) *registry.Service {
		s := service(name, 0)
		s.Namespace = namespace
		return s
	}
	s := registry.Build(nil, []*registry.Objects{registry.NewObjects("cluster1",
		in("shop", "cart"), in("shop", "open"), in("kube-system", "dns"), in("default", "kubernetes"), in("default", "web"),
		in("istio-system", "istiod"))}, m)
	want := map[model.Hostname]bool{
		"cart.shop.svc.cluster.local": true, "open.shop.svc.cluster.local": false, "dns.kube-system.svc.cluster.local": false,
		"kubernetes.default.svc.cluster.local": true, "web.default.svc.cluster.local": false, "istiod.istio-system.svc.cluster.local": true,
	}
	got := map[model.Hostname]bool{}
	for _, ns := range s.Namespaces {
		for host, service := range ns.Services {
			got[host] = service.ClusterLocal
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cluster local (-want +got):\n%s", diff)
	}
}

func TestProblemGoesAwayWithItsCause(t *testing.T) {
	t.Parallel()
	odd := service("cart", 9)
	odd.Type = registry.Headless
	c2 := cart(2, 5)
	s := build(registry.NewObjects("cluster1", odd), c2)
	if len(s.Problems) != 1 {
		t.Fatalf("problems = %v, want one", s.Problems)
	}
	s = registry.Build(s, []*registry.Objects{registry.NewObjects("cluster1", service("cart", 9)), c2}, mesh())
	if len(s.Problems) != 0 {
		t.Errorf("problems = %v, want none", s.Problems)
	}
}
