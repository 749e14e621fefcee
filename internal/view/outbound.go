package view

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Binding is how captured connections to a port of a service are told from others.
type Binding uint8

// The bindings.
const (
	NotBound    Binding = iota // nothing to bind to: the service has no address that a client could have used
	ByPort                     // by port alone: the Host header of each request says which service is meant
	ByAddress                  // by the service's virtual addresses
	ByEndpoints                // by the addresses of the endpoints, as clients of a headless service use them
)

// BindingOf decides how a port of a service is bound for the proxies of a cluster.
func BindingOf(s *model.Service, p model.Port, c model.Cluster) Binding {
	switch {
	case p.Protocol == model.UDP:
		return NotBound
	case p.Protocol.IsHTTP():
		return ByPort
	case s.Headless:
		return ByEndpoints
	case len(s.AddressesIn(c)) > 0:
		return ByAddress
	default:
		return NotBound
	}
}

// Precedes says whether a service keeps an address in a cluster that another is bound to as well: one that the cluster
// defines itself goes before one of elsewhere, then the older one.
func Precedes(a, b *model.Service, c model.Cluster) bool {
	own := func(s *model.Service) bool {
		return slices.ContainsFunc(s.Addresses, func(a model.Addresses) bool { return a.Cluster == c })
	}
	if own(a) != own(b) {
		return own(a)
	}
	if order := a.Created.Compare(b.Created); order != 0 {
		return order < 0
	}
	return a.Hostname < b.Hostname
}

// Reserved says whether a port is one of the proxy's own, which services cannot use.
func Reserved(port uint16) bool {
	switch port {
	case 15000, 15001, 15006, 15020, 15021, 15053, 15090:
		return true
	default:
		return false
	}
}

// Domains are the names and addresses by which applications of a namespace call a service: the full name with and
// without a dot at its end, the short ones that resolv.conf would complete, and the virtual addresses. Pods of a headless
// service have names below all of them.
func Domains(s *model.Service, namespace string, c model.Cluster) []string {
	full := string(s.Hostname)
	domains := []string{full, full + "."}
	short := s.Name + "." + s.Namespace
	if strings.HasPrefix(full, short+".") {
		if s.Namespace == namespace {
			domains = append(domains, s.Name)
		}
		domains = append(domains, short, short+".svc")
	}
	for _, a := range s.AddressesIn(c) {
		domains = append(domains, hostOf(a))
	}
	if s.Headless {
		// Its pods have names of their own below each of these.
		for _, d := range domains {
			domains = append(domains, "*."+d)
		}
	}
	return domains
}

func hostOf(a netip.Addr) string {
	if a.Is6() && !a.Is4In6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// HTTPPorts are the port numbers on which any service speaks HTTP, sorted.
func HTTPPorts(s *model.Snapshot) []uint16 {
	seen := map[uint16]bool{}
	for _, ns := range s.Namespaces {
		for _, svc := range ns.Services {
			for _, p := range svc.Ports {
				if p.Protocol.IsHTTP() && !Reserved(p.Number) {
					seen[p.Number] = true
				}
			}
		}
	}
	ports := make([]uint16, 0, len(seen))
	for p := range seen {
		ports = append(ports, p)
	}
	slices.Sort(ports)
	return ports
}

// HTTPServices are the services that speak HTTP on a port, as they precede each other in a cluster: where two claim a domain,
// the first keeps it.
func HTTPServices(s *model.Snapshot, port uint16, c model.Cluster) []*model.Service {
	var services []*model.Service
	for _, ns := range s.Namespaces {
		for _, svc := range ns.Services {
			if p, ok := svc.Port(port); ok && p.Protocol.IsHTTP() {
				services = append(services, svc)
			}
		}
	}
	slices.SortFunc(services, func(a, b *model.Service) int {
		switch {
		case Precedes(a, b, c):
			return -1
		case Precedes(b, a, c):
			return 1
		default:
			return 0
		}
	})
	return services
}
