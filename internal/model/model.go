// Package model is the mesh as values: services, endpoints, workloads, networks, gateways, and the Snapshot that holds
// them all. Everybody reads it and nobody changes it: values are complete when they are published, and to change one
// is to copy it. It has no Kubernetes types, no Envoy types, and does no I/O.
package model

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// Cluster names a Kubernetes cluster of the mesh, as the key of its remote Secret or its own CLUSTER_ID does.
type Cluster string

// Network names a set of endpoints that reach each other directly. Empty means not known, which counts as the same
// network as every other (Istio: topology.istio.io/network).
type Network string

// Reaches says whether endpoints of network n reach those of network o without a gateway.
func (n Network) Reaches(o Network) bool { return n == "" || o == "" || n == o }

// Hostname is a fully qualified service name, such as reviews.default.svc.cluster.local.
type Hostname string

// Locality is where an endpoint runs, from the labels of its node.
type Locality struct {
	Region, Zone, Subzone string
}

// String gives region/zone/subzone without empty tails.
func (l Locality) String() string {
	return strings.TrimRight(l.Region+"/"+l.Zone+"/"+l.Subzone, "/")
}

// Compare orders localities by region, zone and subzone.
func (l Locality) Compare(o Locality) int {
	return cmp.Or(cmp.Compare(l.Region, o.Region), cmp.Compare(l.Zone, o.Zone), cmp.Compare(l.Subzone, o.Subzone))
}

// Protocol is what a port speaks, from appProtocol or the prefix of the port's name
// (https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/).
type Protocol uint8

// The protocols that make a difference to configuration. Auto is decided connection by connection.
const (
	Auto Protocol = iota
	HTTP
	HTTP2
	GRPC
	TCP
	TLS
	UDP
)

var protocolNames = [...]string{"auto", "http", "http2", "grpc", "tcp", "tls", "udp"}

// String gives the name of the protocol in lower case.
func (p Protocol) String() string { return protocolNames[p] }

// IsHTTP says whether requests of the protocol can be routed one by one.
func (p Protocol) IsHTTP() bool { return p == HTTP || p == HTTP2 || p == GRPC }

// IsHTTP2 says whether the protocol is HTTP/2 by agreement, without negotiation.
func (p Protocol) IsHTTP2() bool { return p == HTTP2 || p == GRPC }

// Ref names an object for messages to people.
type Ref struct {
	Cluster         Cluster
	Kind            string
	Namespace, Name string
}

// String gives kind namespace/name, and the cluster when there is one.
func (r Ref) String() string {
	s := r.Kind + " " + r.Name
	if r.Namespace != "" {
		s = r.Kind + " " + r.Namespace + "/" + r.Name
	}
	if r.Cluster != "" {
		s += " in cluster " + string(r.Cluster)
	}
	return s
}

// Problem is something wrong in the user's configuration, in words that name the object and the fix. The rest of the
// configuration still works.
type Problem struct {
	Object Ref
	Text   string
}

// Port is one port of a service.
type Port struct {
	Name     string
	Number   uint16
	Protocol Protocol
}

// Addresses are the virtual addresses that one cluster gave to a service.
type Addresses struct {
	Cluster   Cluster
	Addresses []netip.Addr
}

// Service is a service of the mesh: the same namespace and name in all clusters is the same service. Where clusters
// differ in ports or type, the oldest definition wins.
type Service struct {
	Hostname        Hostname
	Namespace, Name string
	Ports           []Port      // UDP ports are left out
	Headless        bool        // has no virtual address: clients pick endpoints by their own
	Addresses       []Addresses // one entry for each cluster that defines the service, oldest definition first
	Created         time.Time   // of the oldest definition
	ClusterLocal    bool        // endpoints of other clusters are not used
}

// Port finds a port by its number.
func (s *Service) Port(number uint16) (Port, bool) {
	for _, p := range s.Ports {
		if p.Number == number {
			return p, true
		}
	}
	return Port{}, false
}

// AddressesIn gives the virtual addresses by which the proxies of a cluster know the service: its own where it defines
// the service, else those of the oldest definition. It is empty for headless services.
func (s *Service) AddressesIn(c Cluster) []netip.Addr {
	if s.Headless {
		return nil
	}
	for _, a := range s.Addresses {
		if a.Cluster == c {
			return a.Addresses
		}
	}
	for _, a := range s.Addresses {
		if len(a.Addresses) > 0 {
			return a.Addresses
		}
	}
	return nil
}

// Endpoint is one address and port that serves a port of a service. It is comparable.
type Endpoint struct {
	Address  netip.Addr
	Port     uint16
	Cluster  Cluster
	Network  Network
	Locality Locality
	Weight   uint32 // 0 counts as 1
	MTLS     bool   // a sidecar answers, which speaks mutual TLS
	Draining bool   // terminating but still serving
	// Who answers, for metrics (Istio: endpoint metadata istio.workload).
	Namespace, Workload string
	CanonicalName       string
	CanonicalRevision   string
}

// Endpoints are the endpoints of one port of one service, of all clusters, ordered by cluster and address. The pointer
// stays the same as long as the content does.
type Endpoints struct {
	Items []Endpoint
}

// Identities are the SPIFFE URIs that the endpoints of a service may show, sorted. The pointer stays the same as long
// as the content does.
type Identities struct {
	URIs []string
}

// Backends are the endpoints of a service by port number, and who they may be.
type Backends struct {
	Ports      map[uint16]*Endpoints
	Identities *Identities
	// Pods are the endpoints that have a name of their own below a headless service (hostname.subdomain).
	Pods map[string][]netip.Addr
}

// Inbound is a port on which a workload serves a port of a service.
type Inbound struct {
	TargetPort  uint16
	ServicePort Port
	Service     Hostname
}

// Workload is a pod of the mesh, as a proxy needs to know itself.
type Workload struct {
	Cluster         Cluster
	Network         Network
	Namespace, Name string
	ServiceAccount  string
	Node            string
	Locality        Locality
	Addresses       []netip.Addr
	Labels          map[string]string
	Inbound         []Inbound // ordered by target port, then service
}

// WorkloadKey finds a workload in its namespace.
type WorkloadKey struct {
	Cluster Cluster
	Name    string
}

// TLSMode is how a server of a Gateway treats TLS (https://istio.io/latest/docs/reference/config/networking/gateway/).
type TLSMode uint8

// The modes. NoTLS is a server without a tls section.
const (
	NoTLS TLSMode = iota
	Passthrough
	AutoPassthrough
	Simple
	Mutual
)

// TLSVersion is a version of TLS; zero leaves the choice to the proxy, which takes 1.2 and 1.3.
type TLSVersion uint8

// The versions, numbered as Envoy and Istio do.
const (
	TLS10 TLSVersion = iota + 1
	TLS11
	TLS12
	TLS13
)

// EndsTLS says whether a server of the mode ends TLS with the certificate of its credential.
func (m TLSMode) EndsTLS() bool { return m == Simple || m == Mutual }

// GatewayServer is one server of a Gateway.
type GatewayServer struct {
	Port           Port
	Hosts          []string // of any namespace: a prefix ns/ is cut off and kept in HostNamespaces
	HostNamespaces []string // parallel to Hosts; empty or * means every namespace
	TLS            TLSMode
	CredentialName string // of a Secret in the namespace of the gateway's pods, when the mode ends TLS
	MinTLS, MaxTLS TLSVersion
	HTTPSRedirect  bool
}

// Gateway is a Gateway of Istio's API: which proxies, by label, serve which ports.
type Gateway struct {
	Namespace, Name string
	Selector        map[string]string
	Servers         []GatewayServer
	Created         time.Time
}

// NetworkGateway is an address through which a network is entered from others. Address is an IP or a host name.
type NetworkGateway struct {
	Network Network
	Cluster Cluster // whose Service it is; empty when configuration names an address
	Address string
	Port    uint16
}

// NetworkGateways are all of them, ordered. The pointer stays the same as long as the content does.
type NetworkGateways struct {
	Items []NetworkGateway
}

// To gives the gateways of a network: those of the given cluster where there are any, else all of the network.
func (g *NetworkGateways) To(n Network, c Cluster) []NetworkGateway {
	if g == nil {
		return nil
	}
	var same, all []NetworkGateway
	for _, gw := range g.Items {
		if gw.Network != n {
			continue
		}
		all = append(all, gw)
		if gw.Cluster == c {
			same = append(same, gw)
		}
	}
	if len(same) > 0 {
		return same
	}
	return all
}

// Mesh is the settings that hold for the whole mesh, from MeshConfig and the installation. The pointer in a Snapshot
// stays the same as long as the content does.
type Mesh struct {
	ID              string
	TrustDomain     string
	TrustAliases    []string
	Domain          string // suffix of service names, cluster.local
	RootNamespace   string // istio-system
	Cluster         Cluster
	Network         Network // of the own cluster, as installed
	ConnectTimeout  time.Duration
	AccessLogFile   string // empty: no access log
	AccessLogFormat string // empty: Envoy's default text
	AccessLogJSON   bool
	RegistryOnly    bool // unknown destinations are refused instead of passed through
	AutoMTLS        bool
	Detection       Detection
	ClusterLocal    []HostSetting
	Networks        []NetworkSetting
}

// Detection is how long the first bytes of a connection are waited for, which tell what it speaks. One that stays silent is
// taken for bytes then, so that servers that speak first are heard. Zero waits without end.
type Detection struct {
	Inbound time.Duration // connections to the pod
	Unnamed time.Duration // to a port of a service that says no protocol
	HTTP    time.Duration // to a port number on which services speak HTTP
}

// HostSetting says whether services whose name matches are local to their cluster. Host may start with *.
type HostSetting struct {
	Host         string
	ClusterLocal bool
}

// NetworkSetting is one network of meshNetworks.
type NetworkSetting struct {
	Network    Network
	Registries []Cluster
	CIDRs      []netip.Prefix
	Gateways   []NetworkGatewaySetting
}

// NetworkGatewaySetting is a gateway of meshNetworks: an address, or the name of a service of the network's clusters.
type NetworkGatewaySetting struct {
	Address string
	Service Hostname
	Port    uint16
}

// Namespace is what the mesh knows of one namespace, in all clusters. Its pointer, and that of each map's values, stays
// the same as long as the content does.
type Namespace struct {
	Name      string
	Services  map[Hostname]*Service
	Backends  map[Hostname]*Backends
	Workloads map[WorkloadKey]*Workload
	Gateways  []*Gateway // of the own cluster, ordered by creation, then name
	// Credentials are the Secrets of the own cluster that gateways in the namespace need, by name.
	Credentials map[string]*Credential
}

// Snapshot is the mesh at one moment. It is read-only from the moment it is published.
type Snapshot struct {
	Revision   uint64
	Mesh       *Mesh
	Namespaces map[string]*Namespace
	Gateways   *NetworkGateways
	Clusters   []Cluster // those whose objects are in this snapshot, the own one first
	Problems   []Problem

	// Source is what the snapshot was made from. Only the package that made it looks inside.
	Source any
}

// Workload finds a workload by cluster, namespace and pod name.
func (s *Snapshot) Workload(c Cluster, namespace, name string) *Workload {
	if ns := s.Namespaces[namespace]; ns != nil {
		return ns.Workloads[WorkloadKey{c, name}]
	}
	return nil
}

// Service finds a service by its host name.
func (s *Snapshot) Service(namespace string, h Hostname) *Service {
	if ns := s.Namespaces[namespace]; ns != nil {
		return ns.Services[h]
	}
	return nil
}
