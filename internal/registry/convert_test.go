package registry_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func ptr[T any](v T) *T { return &v }

func TestProtocolSelection(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, app string
		port      int32
		want      model.Protocol
	}{
		{"http", "", 80, model.HTTP},
		{"http-web", "", 80, model.HTTP},
		{"HTTP2-web", "", 80, model.HTTP2},
		{"grpc", "", 80, model.GRPC},
		{"grpc-web", "", 80, model.GRPC},
		{"grpc-web-ui", "", 80, model.GRPC},
		{"https-web", "", 443, model.TLS},
		{"tls", "", 443, model.TLS},
		{"tcp-db", "", 5432, model.TCP},
		{"mysql", "", 3306, model.TCP},
		{"redis-cache", "", 6379, model.TCP},
		{"http_proxy", "", 8888, model.HTTP},
		{"web", "", 80, model.Auto},
		{"httpx", "", 80, model.Auto},
		{"", "", 80, model.Auto},
		{"", "", 3306, model.TCP},
		{"", "", 27017, model.TCP},
		{"tcp", "http", 80, model.HTTP},
		{"", "kubernetes.io/h2c", 80, model.HTTP2},
		{"", "kubernetes.io/ws", 80, model.HTTP},
		{"", "kubernetes.io/wss", 80, model.TLS},
		{"http", "example.com/own", 80, model.Auto},
	}
	for _, c := range cases {
		p := corev1.ServicePort{Name: c.name, Port: c.port}
		if c.app != "" {
			p.AppProtocol = &c.app
		}
		s := registry.ServiceFrom(&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{p}}})
		if got := s.Ports[0].Protocol; got != c.want {
			t.Errorf("port %q appProtocol %q number %d is %s, want %s", c.name, c.app, c.port, got, c.want)
		}
	}
}

func TestServiceIsTrimmed(t *testing.T) {
	t.Parallel()
	got := registry.ServiceFrom(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "istio-system", Name: "east", CreationTimestamp: metav1.NewTime(epoch),
			Labels: map[string]string{"topology.istio.io/network": "network2", "networking.istio.io/gatewayPort": "25443"},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.1", ClusterIPs: []string{"10.0.0.1", "fd00::1"},
			ExternalIPs: []string{"192.0.2.9"}, PublishNotReadyAddresses: true,
			Ports: []corev1.ServicePort{{Name: "tls", Port: 25443}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{
			Ingress: []corev1.LoadBalancerIngress{{IP: "172.18.0.1"}, {Hostname: "lb.example.com"}},
		}},
	})
	want := &registry.Service{
		Namespace: "istio-system", Name: "east", Created: epoch,
		Ports:           []registry.ServicePort{{Name: "tls", Number: 25443, Protocol: model.TLS}},
		Addresses:       []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		PublishNotReady: true,
		Outside:         []string{"172.18.0.1", "lb.example.com", "192.0.2.9"},
		Gateway:         "network2", GatewayPort: 25443,
	}
	if diff := cmp.Diff(want, got, compareAddr); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	headless := registry.ServiceFrom(&corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "None"}})
	if headless.Type != registry.Headless || headless.Addresses != nil {
		t.Errorf("service = %+v, want a headless one", headless)
	}
}

func TestSliceIsTrimmed(t *testing.T) {
	t.Parallel()
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart-x", Labels: map[string]string{"kubernetes.io/service-name": "cart"}},
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr("http"), Port: ptr(int32(8080))},
			{Name: ptr("dns"), Port: ptr(int32(53)), Protocol: ptr(corev1.ProtocolUDP)},
			{Name: ptr("any")},
		},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.1.0.1"}, NodeName: ptr("n1"), TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "a"}},
			{Addresses: []string{"10.1.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(false)}},
			{
				Addresses:  []string{"10.1.0.3"},
				Hostname:   ptr("cart-0"),
				Conditions: discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)},
			},
			{Addresses: []string{"10.1.0.4"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true)}},
		},
	}
	want := &registry.Slice{
		Namespace: "shop", Name: "cart-x", Service: "cart",
		Ports: []registry.SlicePort{{Name: "http", Number: 8080}},
		Endpoints: []registry.SliceEndpoint{
			{Address: netip.MustParseAddr("10.1.0.1"), Pod: "a", Node: "n1"},
			{Address: netip.MustParseAddr("10.1.0.2"), State: registry.NotReady},
			{Address: netip.MustParseAddr("10.1.0.3"), Hostname: "cart-0", State: registry.Draining},
			{Address: netip.MustParseAddr("10.1.0.4"), State: registry.NotReady},
		},
	}
	if diff := cmp.Diff(want, registry.SliceFrom(s), compareAddr); diff != "" {
		t.Errorf("slice (-want +got):\n%s", diff)
	}
	s.Labels["multicluster.kubernetes.io/service-name"] = "cart"
	if got := registry.SliceFrom(s); got != nil {
		t.Errorf("a copied slice gives %v, want nil", got)
	}
	delete(s.Labels, "multicluster.kubernetes.io/service-name")
	s.AddressType = discoveryv1.AddressTypeIPv6
	if got := registry.SliceFrom(s); got != nil {
		t.Errorf("a slice of IPv6 addresses gives %v, want nil: sidecars do not listen there", got)
	}
}

func TestPodKnowsItsWorkload(t *testing.T) {
	t.Parallel()
	cases := []struct {
		kind, owner, hash, want string
	}{
		{"", "", "", "cart-7f-x"},
		{"ReplicaSet", "cart-7f", "7f", "cart"},
		{"ReplicaSet", "bare", "", "bare"},
		{"StatefulSet", "db", "", "db"},
		{"Job", "nightly-29012345", "", "nightly"},
		{"Job", "once-2024", "", "once-2024"},
	}
	for _, c := range cases {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "cart-7f-x", Labels: map[string]string{"pod-template-hash": c.hash}}}
		if c.kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: c.kind, Name: c.owner, Controller: ptr(true)}}
		}
		if got := registry.PodFrom(p).Workload; got != c.want {
			t.Errorf("pod of %s %s is of %s, want %s", c.kind, c.owner, got, c.want)
		}
	}
}

func TestPodThatEndedIsNone(t *testing.T) {
	t.Parallel()
	if got := registry.PodFrom(&corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}

func TestLocalityLabelOfThePodWins(t *testing.T) {
	t.Parallel()
	p := pod("a", "10.1.0.1", "node1")
	p.Labels["istio-locality"] = "us.west.rack1"
	s := build(registry.NewObjects("cluster1", node("node1", "z1"), p))
	if got := s.Workload("cluster1", "shop", "a").Locality.String(); got != "us/west/rack1" {
		t.Errorf("locality = %s, want us/west/rack1", got)
	}
	n := registry.NodeFrom(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{
		"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "a", "topology.istio.io/subzone": "r1",
	}}})
	if got := n.Locality.String(); got != "eu/a/r1" {
		t.Errorf("node's locality = %s, want eu/a/r1", got)
	}
}

func TestGatewayServers(t *testing.T) {
	t.Parallel()
	tls := func(mode networking.ServerTLSSettings_TLSmode) *networking.ServerTLSSettings {
		return &networking.ServerTLSSettings{Mode: mode, CredentialName: "cert"}
	}
	server := func(number uint32, protocol string, tls *networking.ServerTLSSettings, hosts ...string) *networking.Server {
		return &networking.Server{Port: &networking.Port{Name: "p", Number: number, Protocol: protocol}, Tls: tls, Hosts: hosts}
	}
	g := registry.GatewayFrom(&metav1.ObjectMeta{Namespace: "istio-system", Name: "cross", CreationTimestamp: metav1.NewTime(epoch)}, &networking.Gateway{
		Selector: map[string]string{"istio": "eastwestgateway"},
		Servers: []*networking.Server{
			server(15443, "TLS", &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_AUTO_PASSTHROUGH}, "*.local"),
			server(80, "HTTP", &networking.ServerTLSSettings{HttpsRedirect: true}, "./a.example.com", "shop/b.example.com"),
			server(443, "HTTPS", tls(networking.ServerTLSSettings_SIMPLE), "*"),
			server(444, "HTTPS", &networking.ServerTLSSettings{}, "*"),
			server(445, "TLS", nil, "*"),
			server(446, "HTTPS", tls(networking.ServerTLSSettings_ISTIO_MUTUAL), "*"),
			server(0, "HTTP", nil, "*"),
			server(90, "SPDY", nil, "*"),
			server(91, "HTTP", nil, "foo.*", "c.example.com", "*example.com", "shop/*.example.com", "a.*.com", ""),
			server(92, "HTTP", nil, "shop/foo.*"),
		},
	})
	port := func(n uint16, p model.Protocol) model.Port { return model.Port{Name: "p", Number: n, Protocol: p} }
	want := &model.Gateway{
		Namespace: "istio-system", Name: "cross", Created: epoch, Selector: map[string]string{"istio": "eastwestgateway"},
		Servers: []model.GatewayServer{
			{Port: port(15443, model.TLS), TLS: model.AutoPassthrough, Hosts: []string{"*.local"}, HostNamespaces: []string{""}},
			{
				Port: port(80, model.HTTP), HTTPSRedirect: true,
				Hosts: []string{"a.example.com", "b.example.com"}, HostNamespaces: []string{"istio-system", "shop"},
			},
			{Port: port(443, model.HTTP), TLS: model.Simple, CredentialName: "cert", Hosts: []string{"*"}, HostNamespaces: []string{""}},
			{Port: port(444, model.TLS), TLS: model.Passthrough, Hosts: []string{"*"}, HostNamespaces: []string{""}},
			{Port: port(91, model.HTTP), Hosts: []string{"c.example.com", "*.example.com"}, HostNamespaces: []string{"", "shop"}},
		},
	}
	if diff := cmp.Diff(want, g.Model); diff != "" {
		t.Errorf("gateway (-want +got):\n%s", diff)
	}
	if len(g.Problems) != 10 {
		t.Errorf("%d problems, want 10: %v", len(g.Problems), g.Problems)
	}
	s := build(registry.NewObjects("cluster1", g), registry.NewObjects("cluster2", g))
	if got := s.Namespaces["istio-system"].Gateways; len(got) != 1 || len(s.Problems) != 10 {
		t.Errorf("gateways %v with problems %v, want those of the own cluster only", got, texts(s.Problems))
	}
}
