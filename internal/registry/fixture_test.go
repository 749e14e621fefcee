package registry_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// mesh is the one of cluster1's control plane.
func mesh() *model.Mesh {
	m, _ := registry.MeshFrom(nil, nil, registry.Own{Cluster: "cluster1", Network: "network1"})
	return m
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// service is one with a port http:80 and a port tcp:9000, created age seconds after the epoch.
func service(name string, age int) *registry.Service {
	return &registry.Service{
		Namespace: "shop", Name: name, Created: epoch.Add(time.Duration(age) * time.Second),
		Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1")},
		Ports:     []registry.ServicePort{{Name: "http", Number: 80, Protocol: model.HTTP}, {Name: "tcp", Number: 9000, Protocol: model.TCP}},
	}
}

// pod is one of a Deployment, with a sidecar.
func pod(name, ip, node string) *registry.Pod {
	return &registry.Pod{
		Namespace: "shop", Name: name, ServiceAccount: "sa-" + name, Node: node, Workload: "cart",
		Addresses: []netip.Addr{netip.MustParseAddr(ip)},
		Labels:    map[string]string{"app": "cart", "version": "v1", "security.istio.io/tlsMode": "istio"},
	}
}

// slice is one of a service whose http and tcp ports are served on 8080 and 9000 by pods.
func slice(service, name string, pods ...*registry.Pod) *registry.Slice {
	s := &registry.Slice{
		Namespace: "shop", Name: name, Service: service,
		Ports: []registry.SlicePort{{Name: "http", Number: 8080}, {Name: "tcp", Number: 9000}},
	}
	for _, p := range pods {
		s.Endpoints = append(s.Endpoints, registry.SliceEndpoint{Address: p.Addresses[0], Pod: p.Name, Node: p.Node})
	}
	return s
}

func node(name, zone string) *registry.Node {
	return &registry.Node{Name: name, Locality: model.Locality{Region: "eu", Zone: zone}}
}

// cart is the service cart in the namespace shop with two pods, in one cluster of the given number.
func cart(number, age int) *registry.Objects {
	a := pod("a", fmt.Sprintf("10.%d.0.1", number), "node1")
	b := pod("b", fmt.Sprintf("10.%d.0.2", number), "node1")
	return registry.NewObjects(model.Cluster(fmt.Sprintf("cluster%d", number)),
		node("node1", fmt.Sprintf("z%d", number)), service("cart", age), a, b, slice("cart", "cart-1", a, b))
}

const cartHost = model.Hostname("cart.shop.svc.cluster.local")

// addresses gives the endpoints of a service port as address:port, in order.
func addresses(s *model.Snapshot, host model.Hostname, port uint16) []string {
	backends := s.Namespaces["shop"].Backends[host]
	if backends == nil || backends.Ports[port] == nil {
		return nil
	}
	var out []string
	for _, e := range backends.Ports[port].Items {
		out = append(out, netip.AddrPortFrom(e.Address, e.Port).String())
	}
	return out
}

// texts gives the problems of a snapshot as lines.
func texts(problems []model.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Object.String()+": "+p.Text)
	}
	return out
}
