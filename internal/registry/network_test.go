package registry_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

func systemNamespace(n model.Network) *registry.Namespace {
	return &registry.Namespace{Name: "istio-system", Network: n}
}

func TestNetworkOfAnEndpointComesFromTheStrongestSource(t *testing.T) {
	t.Parallel()
	labelled := pod("a", "10.1.0.1", "")
	labelled.Labels["topology.istio.io/network"] = "by-pod"
	const byRegistry = "networks: {by-registry: {endpoints: [{fromRegistry: cluster1}]}}"
	const byKubernetes = "networks: {by-kubernetes: {endpoints: [{fromRegistry: Kubernetes}]}}"
	const byCIDR = "networks: {wide: {endpoints: [{fromCidr: 10.0.0.0/8}]}, narrow: {endpoints: [{fromCidr: 10.1.0.0/16}]}}"
	cases := []struct {
		name     string
		pod      *registry.Pod
		label    model.Network
		networks string
		want     model.Network
	}{
		{"label of the pod", labelled, "by-namespace", byRegistry, "by-pod"},
		{"label of the system namespace", pod("a", "10.1.0.1", ""), "by-namespace", byRegistry, "by-namespace"},
		{"registry of meshNetworks", pod("a", "10.1.0.1", ""), "", byRegistry, "by-registry"},
		{"own cluster as Kubernetes", pod("a", "10.1.0.1", ""), "", byKubernetes, "by-kubernetes"},
		{"longest CIDR of meshNetworks", pod("a", "10.1.0.1", ""), "", byCIDR, "narrow"},
		{"installation", pod("a", "192.168.0.1", ""), "", byCIDR, "network1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, problems := registry.MeshFrom(nil, []byte(c.networks), registry.Own{Cluster: "cluster1", Network: "network1"})
			if len(problems) > 0 {
				t.Fatalf("problems: %v", problems)
			}
			o := registry.NewObjects("cluster1", systemNamespace(c.label), service("cart", 0), c.pod, slice("cart", "s", c.pod))
			s := registry.Build(nil, []*registry.Objects{o}, m)
			if got := s.Namespaces["shop"].Backends[cartHost].Ports[80].Items[0].Network; got != c.want {
				t.Errorf("endpoint's network = %s, want %s", got, c.want)
			}
			if got := s.Workload("cluster1", "shop", "a").Network; got != c.want {
				t.Errorf("workload's network = %s, want %s", got, c.want)
			}
		})
	}
}

func TestRemoteClusterHasNoNetworkBySilence(t *testing.T) {
	t.Parallel()
	s := build(cart(2, 0))
	if got := s.Workload("cluster2", "shop", "a").Network; got != "" {
		t.Errorf("network = %s, want none: the installed network is that of the own cluster", got)
	}
}

func TestNetworkLabelChangesEndpointsOfItsClusterOnly(t *testing.T) {
	t.Parallel()
	c1, c2 := cart(1, 0), cart(2, 1)
	before := build(c1, c2)
	after := registry.Build(before, []*registry.Objects{c1, c2.With(systemNamespace("network2"))}, mesh())
	for _, e := range after.Namespaces["shop"].Backends[cartHost].Ports[80].Items {
		if want := map[model.Cluster]model.Network{"cluster1": "network1", "cluster2": "network2"}[e.Cluster]; e.Network != want {
			t.Errorf("%s of %s is in network %q, want %q", e.Address, e.Cluster, e.Network, want)
		}
	}
	if before.Workload("cluster1", "shop", "a") != after.Workload("cluster1", "shop", "a") {
		t.Error("a workload of cluster1 changed")
	}
}

// eastWest is a Service labelled as gateway of a network.
func eastWest(n model.Network, addresses ...string) *registry.Service {
	return &registry.Service{
		Namespace: "istio-system", Name: "istio-eastwestgateway", Created: epoch, Outside: addresses, Gateway: n, GatewayPort: 15443,
		Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.9")},
		Ports:     []registry.ServicePort{{Name: "tls", Number: 15443, Protocol: model.TLS}},
	}
}

func TestLabelledServicesAreGatewaysOfTheirNetwork(t *testing.T) {
	t.Parallel()
	c1 := registry.NewObjects("cluster1", eastWest("network1", "172.18.0.1", "gw.example.com"))
	c2 := registry.NewObjects("cluster2", eastWest("network2", "172.18.0.2"))
	s := build(c1, c2)
	want := []model.NetworkGateway{
		{Network: "network1", Cluster: "cluster1", Address: "172.18.0.1", Port: 15443},
		{Network: "network1", Cluster: "cluster1", Address: "gw.example.com", Port: 15443},
		{Network: "network2", Cluster: "cluster2", Address: "172.18.0.2", Port: 15443},
	}
	if diff := cmp.Diff(want, s.Gateways.Items); diff != "" {
		t.Fatalf("gateways (-want +got):\n%s", diff)
	}
	next := registry.Build(s, []*registry.Objects{c1}, mesh())
	if diff := cmp.Diff(want[:2], next.Gateways.Items); diff != "" {
		t.Errorf("gateways without cluster2 (-want +got):\n%s", diff)
	}
	same := registry.Build(next, []*registry.Objects{c1.With(service("cart", 0))}, mesh())
	if same.Gateways != next.Gateways {
		t.Error("another service changed the gateways' pointer")
	}
}

func TestGatewayThatCannotBeEnteredIsAProblem(t *testing.T) {
	t.Parallel()
	wrongPort := eastWest("network2", "172.18.0.2")
	wrongPort.GatewayPort = 15444
	s := build(registry.NewObjects("cluster1", eastWest("network1")), registry.NewObjects("cluster2", wrongPort))
	all := strings.Join(texts(s.Problems), "\n")
	if len(s.Gateways.Items) != 0 || !strings.Contains(all, "no address outside its cluster yet") || !strings.Contains(all, "no port 15444") {
		t.Errorf("gateways %v with problems:\n%s", s.Gateways.Items, all)
	}
}

func TestMeshNetworksNamesGatewaysByServiceAndAddress(t *testing.T) {
	t.Parallel()
	m, problems := registry.MeshFrom(nil, []byte(`
networks:
  network1:
    endpoints: [{fromRegistry: Kubernetes}]
    gateways: [{registry_service_name: istio-ingressgateway.istio-system.svc.cluster.local, port: 443}]
  network2:
    endpoints: [{fromRegistry: cluster2}]
    gateways: [{address: 192.0.2.1, port: 15443}, {registryServiceName: istio-ingressgateway.istio-system.svc.cluster.local, port: 443}]
`), registry.Own{Cluster: "cluster1"})
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	ingress := eastWest("", "172.18.0.1")
	ingress.Name, ingress.Gateway = "istio-ingressgateway", ""
	s := registry.Build(nil, []*registry.Objects{registry.NewObjects("cluster1", ingress)}, m)
	want := []model.NetworkGateway{
		{Network: "network1", Cluster: "cluster1", Address: "172.18.0.1", Port: 443},
		{Network: "network2", Address: "192.0.2.1", Port: 15443},
	}
	if diff := cmp.Diff(want, s.Gateways.Items); diff != "" {
		t.Errorf("gateways (-want +got):\n%s", diff)
	}
	all := strings.Join(texts(s.Problems), "\n")
	if !strings.Contains(all, "fromRegistry cluster2 is no cluster that is known here") || len(s.Problems) != 2 {
		t.Errorf("problems:\n%s", all)
	}
}
