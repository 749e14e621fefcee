package view

import (
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Upstream is one port of a service as the place that requests are sent to. It is comparable: two equal ones are
// written to the same bytes.
type Upstream struct {
	Service    *model.Service
	Port       model.Port
	Identities *model.Identities
	Mesh       *model.Mesh
	// AllMTLS says that every endpoint has a sidecar. It matters only where Envoy picks endpoints without knowing them,
	// as for headless services; elsewhere each endpoint says it for itself.
	AllMTLS bool
}

// Name is how Envoy and people's tools know the upstream (wire.md: outbound|PORT|SUBSET|HOST).
func (u Upstream) Name() string { return OutboundName(u.Port.Number, u.Service.Hostname) }

// SNI is the server name that mutual TLS to the upstream asks for, and east-west gateways route by.
func (u Upstream) SNI() string { return SNIName(u.Port.Number, u.Service.Hostname) }

// OutboundName is the name of the upstream of a service's port.
func OutboundName(port uint16, h model.Hostname) string {
	return fmt.Sprintf("outbound|%d||%s", port, h)
}

// SNIName is the server name of a service's port.
func SNIName(port uint16, h model.Hostname) string { return fmt.Sprintf("outbound_.%d_._.%s", port, h) }

// InboundName is the name of the upstream of a port of the pod's own application.
func InboundName(port uint16) string { return fmt.Sprintf("inbound|%d||", port) }

// UpstreamsIn gives the upstreams of a namespace's services.
func UpstreamsIn(s *model.Snapshot, ns *model.Namespace, each func(Upstream)) {
	for h, svc := range ns.Services {
		backends := ns.Backends[h]
		for _, p := range svc.Ports {
			u := Upstream{Service: svc, Port: p, Mesh: s.Mesh}
			if backends != nil {
				u.Identities = backends.Identities
				if svc.Headless {
					u.AllMTLS = allMTLS(backends.Ports[p.Number])
				}
			}
			each(u)
		}
	}
}

func allMTLS(eps *model.Endpoints) bool {
	if eps == nil {
		return false
	}
	for _, ep := range eps.Items {
		if !ep.MTLS {
			return false
		}
	}
	return len(eps.Items) > 0
}
