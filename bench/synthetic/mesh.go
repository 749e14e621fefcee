// Package synthetic writes a made-up mesh to real API servers: services with their pods and EndpointSlices, and changes of
// them. Only the bench uses it. It plays the controllers and kubelets, and never reads back what it wrote: all names and
// addresses follow from the sizes and an index.
package synthetic

import (
	"fmt"
	"net/netip"
)

// Sizes are how large a mesh is. Every cluster of it has the same services, as a mesh of several primaries does.
type Sizes struct {
	Services   int `json:"services"`
	Endpoints  int `json:"endpoints"` // of a service, in each cluster
	Namespaces int `json:"namespaces"`
	Nodes      int `json:"nodes"` // in each cluster
	Clusters   int `json:"clusters"`
	Proxies    int `json:"proxies"`
}

// Validate says what is wrong with the sizes, or nil.
func (s Sizes) Validate() error {
	switch {
	case s.Services < 1 || s.Endpoints < 1 || s.Namespaces < 1 || s.Nodes < 1 || s.Proxies < 1:
		return fmt.Errorf("a mesh needs at least one service, endpoint, namespace, node and proxy: %+v", s)
	case s.Services*s.Endpoints >= firstSpare:
		return fmt.Errorf("%d services of %d endpoints are more than %d pods", s.Services, s.Endpoints, firstSpare-1)
	case s.Proxies > s.Services:
		return fmt.Errorf("%d proxies need as many services, not %d", s.Proxies, s.Services)
	case s.Clusters < 1 || s.Clusters > 2:
		return fmt.Errorf("%d clusters: there are address ranges for 1 and 2", s.Clusters)
	}
	return nil
}

// Service is one service of the mesh.
type Service struct {
	Namespace, Name string
	Port            Port
}

// Port is what a service listens on; its pods listen on Target.
type Port struct {
	Name           string
	Number, Target int32
}

// domain is the suffix of service names.
const domain = "svc.cluster.local"

// Hostname is the full name of the service.
func (s Service) Hostname() string { return s.Name + "." + s.Namespace + "." + domain }

// Upstream is what a proxy calls the service's endpoints.
func (s Service) Upstream() string {
	return fmt.Sprintf("outbound|%d||%s", s.Port.Number, s.Hostname())
}

// Of ten services seven speak HTTP on the usual port, two on another, and one is a database.
var ports = [10]Port{
	0: {"http", 80, 8080}, 1: {"http", 80, 8080}, 2: {"http", 80, 8080}, 3: {"http", 80, 8080}, 4: {"http", 80, 8080},
	5: {"http", 80, 8080}, 6: {"http", 80, 8080}, 7: {"http-api", 8080, 18080}, 8: {"http-api", 8080, 18080}, 9: {"tcp-db", 5432, 15432},
}

// Namespace names namespace i.
func (s Sizes) Namespace(i int) string { return fmt.Sprintf("team-%02d", i%s.Namespaces) }

// Service describes service i.
func (s Sizes) Service(i int) Service {
	return Service{Namespace: s.Namespace(i), Name: fmt.Sprintf("service-%05d", i), Port: ports[i%len(ports)]}
}

// Extra describes a service that is not there at first: the i-th of those that come and go.
func (s Sizes) Extra(i int) Service {
	return Service{Namespace: s.Namespace(i), Name: fmt.Sprintf("extra-%05d", i), Port: ports[0]}
}

// Pod is one pod behind a service.
type Pod struct {
	Service Service
	Name    string
	Address netip.Addr
	Node    int // its number
}

// Cluster numbers start at 1. Addresses of a cluster's pods are 2^22 from 10.64.0.0 or 10.128.0.0; the upper half is for
// pods that come later.
const firstSpare = 1 << 21

func address(cluster, n int) netip.Addr {
	at := uint32(10)<<24 + uint32(cluster)<<22 + uint32(n)
	return netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)})
}

// Pod describes the pod that endpoint number slot of service i has at first.
func (s Sizes) Pod(cluster, i, slot int) Pod {
	service := s.Service(i)
	return Pod{
		Service: service, Name: fmt.Sprintf("%s-%d-%03d", service.Name, cluster, slot),
		Address: address(cluster, i*s.Endpoints+slot+1), Node: (i + slot) % s.Nodes,
	}
}

// Spare describes the n-th pod that comes later, behind any service.
func (s Sizes) Spare(cluster int, service Service, n int) Pod {
	return Pod{
		Service: service, Name: fmt.Sprintf("spare-%d-%05d", cluster, n),
		Address: address(cluster, firstSpare+n), Node: n % s.Nodes,
	}
}

// Zone names the zone of a node.
func Zone(node int) string { return fmt.Sprintf("zone-%d", node%3) }

// Region is that of all nodes.
const Region = "region-1"

// ProxyPod is the pod that proxy n stands in: the first of its service, spread over all services.
func (s Sizes) ProxyPod(n int) Pod { return s.Pod(1, n*s.Services/s.Proxies, 0) }
