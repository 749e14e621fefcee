package registry_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

func TestMeshDefaults(t *testing.T) {
	t.Parallel()
	m, problems := registry.MeshFrom(nil, []byte("networks: {}"), registry.Own{})
	want := &model.Mesh{
		TrustDomain: "cluster.local", Domain: "cluster.local", RootNamespace: "istio-system", Cluster: "Kubernetes",
		ConnectTimeout: 10 * time.Second, AutoMTLS: true,
		Detection: model.Detection{Inbound: 5 * time.Second, Unnamed: time.Second},
	}
	if diff := cmp.Diff(want, m, cmpopts.EquateEmpty()); diff != "" || len(problems) != 0 {
		t.Errorf("problems %v, mesh (-want +got):\n%s", problems, diff)
	}
}

func TestMeshConfigIsRead(t *testing.T) {
	t.Parallel()
	m, problems := registry.MeshFrom([]byte(`
trustDomain: east.example
trustDomainAliases: [old.example]
connectTimeout: 0.5s
accessLogFile: /dev/stdout
accessLogEncoding: JSON
enableAutoMtls: false
protocolDetectionTimeout: 7s
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
defaultConfig: {meshId: mesh1, discoveryAddress: istiod-canary.istio-system.svc:15012}
serviceSettings:
- settings: {clusterLocal: true}
  hosts: ["*.shop.svc.cluster.local"]
`), nil, registry.Own{Cluster: "cluster1", Network: "network1"})
	want := &model.Mesh{
		ID: "mesh1", TrustDomain: "east.example", TrustAliases: []string{"old.example"}, Domain: "cluster.local",
		RootNamespace: "istio-system", Cluster: "cluster1", Network: "network1", ConnectTimeout: 500 * time.Millisecond,
		AccessLogFile: "/dev/stdout", AccessLogJSON: true, RegistryOnly: true,
		Detection:    model.Detection{Inbound: 7 * time.Second, Unnamed: 7 * time.Second, HTTP: 7 * time.Second},
		ClusterLocal: []model.HostSetting{{Host: "istiod-canary.istio-system.svc.cluster.local", ClusterLocal: true}, {Host: "*.shop.svc.cluster.local", ClusterLocal: true}},
	}
	if diff := cmp.Diff(want, m, cmpopts.EquateEmpty()); diff != "" || len(problems) != 0 {
		t.Errorf("problems %v, mesh (-want +got):\n%s", texts(problems), diff)
	}
}

func TestBadPartsOfMeshConfigLeaveTheRestAlone(t *testing.T) {
	t.Parallel()
	m, problems := registry.MeshFrom([]byte("trustDomain: east.example\nconnectTimeout: soon\nnoSuchKey: 1\ndefaultConfig: {meshId: m, nor: this}"), nil, registry.Own{})
	if m.TrustDomain != "east.example" || m.ConnectTimeout != 10*time.Second || m.ID != "m" {
		t.Errorf("mesh = %+v", m)
	}
	all := strings.Join(texts(problems), "\n")
	for _, want := range []string{"connectTimeout cannot be read", `noSuchKey: unknown field "noSuchKey"`, `unknown field "nor"`} {
		if !strings.Contains(all, want) {
			t.Errorf("no problem says %q in:\n%s", want, all)
		}
	}
	if m, problems = registry.MeshFrom([]byte("{"), nil, registry.Own{}); m == nil || len(problems) != 1 {
		t.Errorf("broken YAML gives %v with %v, want defaults with one problem", m, problems)
	}
}

func TestANetworkWithSomethingWrongInItStaysAsItWas(t *testing.T) {
	t.Parallel()
	good := `
networks:
  a: {endpoints: [{fromRegistry: c1}], gateways: [{address: 192.0.2.1, port: 15443}]}
  b: {endpoints: [{fromRegistry: c2}]}
`
	last, problems := registry.NetworksFrom([]byte(good), nil)
	if len(last) != 2 || len(problems) != 0 {
		t.Fatalf("networks %v, problems %v", last, problems)
	}
	cases := []struct {
		name, text string
		want       []model.NetworkSetting
		problems   int
	}{
		{"no YAML", "networks: [", last, 1},
		{"networks under another name", "network: {a: {}}", last, 1},
		{"port mistyped", "networks: {a: {gateways: [{address: 192.0.2.1, port: 1544x}]}}", last[:1], 1},
		{"port out of range", "networks: {a: {gateways: [{address: 192.0.2.1, port: 0}]}}", last[:1], 1},
		{"gateways beside the network", "networks: {a: null, gateways: [{address: 192.0.2.2, port: 1}], b: {}}", []model.NetworkSetting{last[0], {Network: "b"}}, 1},
		{"a new network that is bad in part", "networks: {d: {endpoints: [{fromCidr: x}, {fromRegistry: c4}]}}", []model.NetworkSetting{{Network: "d", Registries: []model.Cluster{"c4"}}}, 1},
		{"taken out", "networks: {}", nil, 0},
		{"empty", "", nil, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, problems := registry.NetworksFrom([]byte(c.text), last)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" || len(problems) != c.problems {
				t.Errorf("problems %v, networks (-want +got):\n%s", texts(problems), diff)
			}
		})
	}
}

func TestMisindentedMeshNetworksDeclaresANetworkWithoutEndpoints(t *testing.T) {
	t.Parallel()
	m, problems := registry.MeshFrom(nil, []byte(`
networks:
  network1:
  endpoints:
  - fromRegistry: cluster1
  gateways:
  - address: 192.0.2.1
    port: 443
`), registry.Own{})
	if diff := cmp.Diff([]model.NetworkSetting{{Network: "network1"}}, m.Networks); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	if all := strings.Join(texts(problems), "\n"); len(problems) != 2 || !strings.Contains(all, "endpoints stands beside the networks") {
		t.Errorf("problems:\n%s", all)
	}
}

func TestMeshNetworksReportsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	m, problems := registry.MeshFrom(nil, []byte(`
networks:
  a: {endpoints: [{fromRegistry: c1}, {fromCidr: 10.1.2.3/8}, {fromCidr: nonsense}], gateways: [{port: 15443}, {address: gw.example.com, port: 0}]}
  b: {endpoints: [{fromRegistry: c1}]}
stray: 1
`), registry.Own{})
	want := []model.NetworkSetting{
		{Network: "a", Registries: []model.Cluster{"c1"}, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{Network: "b", Registries: []model.Cluster{"c1"}},
	}
	if diff := cmp.Diff(want, m.Networks, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	if len(problems) != 5 {
		t.Errorf("%d problems, want 5:\n%s", len(problems), strings.Join(texts(problems), "\n"))
	}
}
