package registry

import (
	"cmp"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/model"
)

const (
	// localityLabel on a pod: where it runs, when its node does not know.
	localityLabel = "istio-locality"

	// mcsLabel marks slices that a multi-cluster controller copied from other clusters; their endpoints come from there.
	mcsLabel = "multicluster.kubernetes.io/service-name"

	// defaultGatewayPort is where east-west gateways listen for traffic of other networks.
	defaultGatewayPort = 15443
)

// NamespaceFrom trims a Namespace.
func NamespaceFrom(n *corev1.Namespace) *Namespace {
	return &Namespace{Name: n.Name, Network: model.Network(n.Labels[label.Network])}
}

// NodeFrom trims a Node.
func NodeFrom(n *corev1.Node) *Node {
	return &Node{Name: n.Name, Locality: model.Locality{
		Region:  cmp.Or(n.Labels[corev1.LabelTopologyRegion], n.Labels[corev1.LabelFailureDomainBetaRegion]),
		Zone:    cmp.Or(n.Labels[corev1.LabelTopologyZone], n.Labels[corev1.LabelFailureDomainBetaZone]),
		Subzone: n.Labels[label.Subzone],
	}}
}

// ServiceFrom trims a Service.
func ServiceFrom(s *corev1.Service) *Service {
	out := &Service{
		Namespace: s.Namespace, Name: s.Name,
		Created:         s.CreationTimestamp.UTC(),
		PublishNotReady: s.Spec.PublishNotReadyAddresses,
		Outside:         outsideAddresses(s),
		Gateway:         model.Network(s.Labels[label.Network]),
	}
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		out.Type = ExternalName
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		out.Type = Headless
	default:
		ips := s.Spec.ClusterIPs
		if len(ips) == 0 {
			ips = []string{s.Spec.ClusterIP}
		}
		out.Addresses = addresses(ips)
	}
	for _, p := range s.Spec.Ports {
		if isTCP(p.Protocol) {
			number := uint16(p.Port)
			out.Ports = append(out.Ports, ServicePort{p.Name, number, protocolOf(p.Name, p.AppProtocol, number)})
		}
	}
	if out.Gateway != "" {
		out.GatewayPort = defaultGatewayPort
		if port, err := strconv.ParseUint(s.Labels[label.GatewayPort], 10, 16); err == nil {
			out.GatewayPort = uint16(port)
		}
	}
	return out
}

func outsideAddresses(s *corev1.Service) []string {
	var outside []string
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		for _, in := range s.Status.LoadBalancer.Ingress {
			if address := cmp.Or(in.IP, in.Hostname); address != "" {
				outside = append(outside, address)
			}
		}
	}
	return append(outside, s.Spec.ExternalIPs...)
}

func isTCP(p corev1.Protocol) bool { return p == "" || p == corev1.ProtocolTCP }

// addresses reads IP addresses and leaves out what is none.
func addresses(texts []string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// SliceFrom trims an EndpointSlice. It gives nil for one that is not of a Service of this cluster, or holds no IPv4 addresses:
// connections over IPv6 pass pods' proxies by, so a client's proxy would offer mutual TLS to an application.
func SliceFrom(s *discoveryv1.EndpointSlice) *Slice {
	service := s.Labels[discoveryv1.LabelServiceName]
	if service == "" || s.Labels[mcsLabel] != "" || s.AddressType == discoveryv1.AddressTypeFQDN || s.AddressType == discoveryv1.AddressTypeIPv6 {
		return nil
	}
	out := &Slice{Namespace: s.Namespace, Name: s.Name, Service: service}
	for _, p := range s.Ports {
		if p.Port != nil && (p.Protocol == nil || isTCP(*p.Protocol)) {
			out.Ports = append(out.Ports, SlicePort{Name: deref(p.Name), Number: uint16(*p.Port)})
		}
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		trimmed := SliceEndpoint{Node: deref(e.NodeName), Hostname: deref(e.Hostname), State: stateOf(e.Conditions)}
		if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
			trimmed.Pod = e.TargetRef.Name
		}
		// Consumers use the first address only: Kubernetes says that the others are the same endpoint.
		if ips := addresses(e.Addresses); len(ips) > 0 {
			trimmed.Address = ips[0]
			out.Endpoints = append(out.Endpoints, trimmed)
		}
	}
	return out
}

// stateOf follows the defaults of the API: unknown readiness counts as ready, unknown serving as ready.
func stateOf(c discoveryv1.EndpointConditions) EndpointState {
	ready := c.Ready == nil || *c.Ready
	serving := ready
	if c.Serving != nil {
		serving = *c.Serving
	}
	switch {
	case ready:
		return Ready
	case serving && c.Terminating != nil && *c.Terminating:
		return Draining
	default:
		return NotReady
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
