package view

import (
	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Type is a kind of configuration that proxies ask for.
type Type uint8

// The types.
const (
	TypeUpstreams Type = iota + 1
	TypeEndpoints
	TypeListeners
	TypeRoutes
	TypeNames
	TypeCredentials
)

// Classes gives the classes whose parts make up a proxy's configuration of one type. Each holds no more facts of the
// proxy than its part depends on, so that as many proxies as possible share it.
func Classes(s *model.Snapshot, p Proxy, t Type) []Class {
	switch p.Kind {
	case Sidecar:
		return sidecarClasses(s, p, t)
	case Gateway:
		return gatewayClasses(s, p, t)
	default:
		return nil
	}
}

func sidecarClasses(s *model.Snapshot, p Proxy, t Type) []Class {
	inbound := func(part Part) Class {
		return Class{Part: part, Workload: InboundText(s.Workload(p.Cluster, p.Namespace, p.Name))}
	}
	switch t {
	case TypeUpstreams:
		return []Class{{Part: Upstreams}, inbound(InboundUpstreams)}
	case TypeEndpoints:
		return []Class{{Part: Endpoints, Cluster: p.Cluster, Network: p.Network, RequestedView: p.RequestedView}}
	case TypeListeners:
		return []Class{{Part: Listeners, Cluster: p.Cluster, Network: p.Network}, inbound(InboundListeners)}
	case TypeRoutes:
		return []Class{{Part: Routes, Cluster: p.Cluster, Namespace: p.Namespace}}
	case TypeNames:
		return []Class{{Part: Names, Cluster: p.Cluster, Network: p.Network}}
	default:
		return nil
	}
}

func gatewayClasses(s *model.Snapshot, p Proxy, t Type) []Class {
	gateways := gatewaysText(s, p.Labels)
	switch t {
	case TypeUpstreams:
		return []Class{{Part: SNIUpstreams, Labels: gateways}}
	case TypeEndpoints:
		return []Class{{
			Part: SNIEndpoints, Labels: gateways, Cluster: p.Cluster, Network: p.Network, RequestedView: p.RequestedView,
		}}
	case TypeListeners:
		return []Class{{
			Part: GatewayListeners, Labels: gateways,
			Workload: portsText(s.Workload(p.Cluster, p.Namespace, p.Name)),
		}}
	case TypeRoutes:
		// The ports of the pod, too: by them servers share a listener, and with it a route configuration.
		return []Class{{
			Part: GatewayRoutes, Labels: gateways,
			Workload: portsText(s.Workload(p.Cluster, p.Namespace, p.Name)),
		}}
	case TypeNames:
		return []Class{{Part: Names, Cluster: p.Cluster, Network: p.Network}}
	case TypeCredentials:
		return credentialClasses(s, p)
	default:
		return nil
	}
}
