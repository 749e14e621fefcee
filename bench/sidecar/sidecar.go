// Package sidecar plays the discovery side of many sidecars, as cheaply as it can: it asks for what Envoy would ask for, in
// that order, acknowledges it, and notes when expected changes arrive. The bench and the tests of ring 3 use it. It does not
// judge what it gets: that is for the real Envoy.
package sidecar

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Type is a type of resources.
type Type int

// The types that a sidecar and its agent ask for.
const (
	Upstreams Type = iota // CDS
	Endpoints             // EDS
	Listeners             // LDS
	Routes                // RDS
	Names                 // NDS: the table of the agent's DNS
	types
)

var urls = [types]string{
	Upstreams: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	Endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	Listeners: "type.googleapis.com/envoy.config.listener.v3.Listener",
	Routes:    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
	Names:     "type.googleapis.com/istio.networking.nds.v1.NameTable",
}

var shortNames = [types]string{Upstreams: "cds", Endpoints: "eds", Listeners: "lds", Routes: "rds", Names: "nds"}

// String gives the usual three letters.
func (t Type) String() string { return shortNames[t] }

// All are the types in the order in which a returning sidecar asks for them.
var All = [types]Type{Names, Upstreams, Endpoints, Listeners, Routes}

// whole says whether an empty subscription means everything there is.
func (t Type) whole() bool { return t == Upstreams || t == Listeners || t == Names }

// child gives the type whose names resources of this type hold.
func (t Type) child() (Type, bool) {
	switch t {
	case Upstreams:
		return Endpoints, true
	case Listeners:
		return Routes, true
	default:
		return 0, false
	}
}

func typeOf(url []byte) (Type, bool) {
	for t, u := range urls {
		if u == string(url) {
			return Type(t), true
		}
	}
	return 0, false
}

// Facts are who a sidecar is.
type Facts struct {
	Pod, Namespace, ServiceAccount string
	Address                        string
	Cluster, Network               string
	Region, Zone                   string
	Labels                         map[string]string
}

// Node is the identity in a sidecar's first request, as the agent of an injected pod makes it.
func Node(f Facts) *corev3.Node {
	text := structpb.NewStringValue
	labels := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for k, v := range f.Labels {
		labels.Fields[k] = text(v)
	}
	domain := f.Namespace + ".svc.cluster.local"
	return &corev3.Node{
		Id:       strings.Join([]string{"sidecar", f.Address, f.Pod + "." + f.Namespace, domain}, "~"),
		Cluster:  f.ServiceAccount + "." + f.Namespace,
		Locality: &corev3.Locality{Region: f.Region, Zone: f.Zone},
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"NAME": text(f.Pod), "NAMESPACE": text(f.Namespace), "SERVICE_ACCOUNT": text(f.ServiceAccount),
			"CLUSTER_ID": text(f.Cluster), "NETWORK": text(f.Network), "INSTANCE_IPS": text(f.Address),
			"ISTIO_VERSION": text("1.31.0"), "MESH_ID": text("cluster.local"), "INTERCEPTION_MODE": text("REDIRECT"),
			"LABELS": structpb.NewStructValue(labels),
		}},
	}
}
