package xds

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
)

// The resource types that the server treats in ways of their own.
const (
	typePrefix   = "type.googleapis.com/"
	typeCluster  = typePrefix + "envoy.config.cluster.v3.Cluster"
	typeEndpoint = typePrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	typeListener = typePrefix + "envoy.config.listener.v3.Listener"
	typeRoute    = typePrefix + "envoy.config.route.v3.RouteConfiguration"
	typeSecret   = typePrefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
	typeECDS     = typePrefix + "envoy.config.core.v3.TypedExtensionConfig"
	typeNames    = typePrefix + "istio.networking.nds.v1.NameTable"
	typePCDS     = typePrefix + "istio.mesh.v1alpha1.ProxyConfig"
	typeHealth   = typePrefix + "istio.v1.HealthInformation"
	debugPrefix  = "istio.io/debug"
)

// wholeTypes are those of which an empty subscription means all, and of which a state-of-the-world response is
// complete: what it leaves out is deleted.
var wholeTypes = map[string]bool{typeCluster: true, typeListener: true, typeNames: true, typePCDS: true}

// rank is the place of a type in a push. Envoy takes up routes to upstreams, and listeners with routes, without a gap
// only if what they name came before.
func rank(typeURL string) int {
	switch typeURL {
	case typeCluster:
		return 0
	case typeEndpoint:
		return 1
	case typeListener:
		return 2
	case typeRoute:
		return 3
	case typeSecret:
		return 4
	default:
		return 5
	}
}

// short is the name of a type in metrics.
func short(typeURL string) string {
	switch typeURL {
	case typeCluster:
		return "cds"
	case typeEndpoint:
		return "eds"
	case typeListener:
		return "lds"
	case typeRoute:
		return "rds"
	case typeECDS:
		return "ecds"
	case typeNames:
		return "nds"
	case typePCDS:
		return "pcds"
	case typeSecret:
		return "sds"
	case typePrefix + "envoy.config.route.v3.VirtualHost":
		return "vhds"
	default:
		return "other" // type URLs come from the proxy: they are no label values
	}
}

func isDebug(typeURL string) bool { return strings.HasPrefix(typeURL, debugPrefix) }

// request is what a proxy asks, in either protocol.
type request struct {
	node      *corev3.Node
	typeURL   string
	nonce     string            // of the response that it answers; empty if none
	problem   *rpcstatus.Status // why it refuses that response
	subscribe []string          // delta: names to add; state of the world: all names

	// In the delta protocol only.
	unsubscribe []string
	versions    map[string]string // what it has from an earlier stream
}
