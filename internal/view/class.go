// Package view works out what one class of proxies can see, and how it gets there: direct or through which gateway,
// with which priority and weight. It knows nothing of xDS or Kubernetes, and never names an endpoint that the class
// cannot reach.
package view

import (
	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Kind is what a proxy is for.
type Kind uint8

// The kinds of proxies.
const (
	Sidecar Kind = iota
	Gateway
)

// Proxy is who asks for configuration: the facts of its first request that configuration depends on.
type Proxy struct {
	Kind            Kind
	Namespace, Name string // of its pod
	Cluster         model.Cluster
	Network         model.Network
	ServiceAccount  string
	Labels          map[string]string
	RequestedView   string // networks whose endpoints it may see, comma separated; empty means all (ISTIO_META_REQUESTED_NETWORK_VIEW)
	NoCapture       bool   // interception mode NONE
	Version         string // of the agent's release
}

// Part is a group of resources of one type that depends on the same facts of a proxy.
type Part uint8

// The parts. A proxy's configuration of one type is the union of one or more of them.
const (
	Upstreams        Part = iota + 1 // clusters of services, and pass-through ones
	InboundUpstreams                 // clusters of a workload's own ports
	SNIUpstreams                     // clusters of services for AUTO_PASSTHROUGH gateways
	Endpoints                        // endpoints of services
	SNIEndpoints                     // the same under the names that SNI routes to
	Listeners                        // outbound listeners of sidecars
	InboundListeners                 // the inbound listener of a workload
	GatewayListeners                 // listeners of a gateway
	Routes                           // outbound routes of sidecars
	GatewayRoutes                    // routes of a gateway
	Names                            // the name table for the agent's DNS
	Credentials                      // certificates of a gateway's servers
)

// Class is what makes two proxies alike for one part of their configuration. It is comparable, and holds only those
// facts that the part depends on: the rest is zero, so that more proxies share.
type Class struct {
	Part          Part
	Kind          Kind
	Cluster       model.Cluster
	Network       model.Network
	Namespace     string
	RequestedView string
	Workload      string // canonical text of the ports that the workload serves, for inbound parts
	Labels        string // canonical text of the labels that Gateways select by, for gateway parts
}
