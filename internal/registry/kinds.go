package registry

import (
	"net/netip"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Namespace is what is read of a Namespace object.
type Namespace struct {
	Name    string
	Network model.Network // label topology.istio.io/network; counts in the system namespace only
}

// Key implements Object.
func (n *Namespace) Key() Key { return Key{KindNamespace, n.Name, n.Name} }

// Node is what is read of a Node.
type Node struct {
	Name     string
	Locality model.Locality
}

// Key implements Object.
func (n *Node) Key() Key { return Key{KindNode, "", n.Name} }

// Service is what is read of a Service.
type Service struct {
	Namespace, Name string
	Created         time.Time // UTC
	Type            ServiceType
	Ports           []ServicePort // UDP and SCTP ones are left out
	Addresses       []netip.Addr  // cluster IPs
	PublishNotReady bool
	Outside         []string      // addresses of its load balancer, then external IPs; IPs or host names
	Gateway         model.Network // the network that it is a gateway of (label topology.istio.io/network)
	GatewayPort     uint16        // for traffic of other networks, when Gateway is set
}

// Key implements Object.
func (s *Service) Key() Key { return Key{KindService, s.Namespace, s.Name} }

// ServiceType is how a name of a service resolves.
type ServiceType uint8

// The types. Kubernetes' NodePort and LoadBalancer are ClusterIP here.
const (
	ClusterIP ServiceType = iota
	Headless
	ExternalName
)

// String gives the type's name.
func (t ServiceType) String() string { return [...]string{"ClusterIP", "Headless", "ExternalName"}[t] }

// ServicePort is a port of a Service.
type ServicePort struct {
	Name     string
	Number   uint16
	Protocol model.Protocol
}

// Slice is what is read of an EndpointSlice.
type Slice struct {
	Namespace, Name string
	Service         string
	Ports           []SlicePort // UDP and SCTP ones are left out
	Endpoints       []SliceEndpoint
}

// Key implements Object.
func (s *Slice) Key() Key { return Key{KindSlice, s.Namespace, s.Name} }

// SlicePort is a target port; its name is that of the Service's port.
type SlicePort struct {
	Name   string
	Number uint16
}

// SliceEndpoint is one address of one endpoint.
type SliceEndpoint struct {
	Address  netip.Addr
	Pod      string // in the slice's namespace; empty when it is not a pod
	Node     string
	Hostname string // the name of its own below a headless service
	State    EndpointState
}

// EndpointState is what an endpoint may be used for.
type EndpointState uint8

// The states.
const (
	Ready EndpointState = iota
	NotReady
	Draining // terminating, but still serving
)

// Pod is what is read of a Pod.
type Pod struct {
	Namespace, Name string
	ServiceAccount  string
	Node            string
	Addresses       []netip.Addr
	Labels          map[string]string
	Workload        string // name of what made it: the Deployment, StatefulSet, ..., or itself
}

// Key implements Object.
func (p *Pod) Key() Key { return Key{KindPod, p.Namespace, p.Name} }

// Gateway is a Gateway of Istio's API, and what is wrong with it.
type Gateway struct {
	Model    *model.Gateway
	Problems []string
}

// Key implements Object.
func (g *Gateway) Key() Key { return Key{KindGateway, g.Model.Namespace, g.Model.Name} }
