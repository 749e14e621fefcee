// Package label lists the labels and annotations that the mesh gives a meaning to, in one place and with that meaning. Everybody
// reads it. It holds names only. The list follows https://istio.io/latest/docs/reference/config/labels/ and .../annotations/.
package label

// Labels of namespaces, pods and Services that people write.
const (
	// Injection on a namespace: `enabled` or `disabled`, for the default revision.
	Injection = "istio-injection"
	// Inject on a pod: `true` or `false`; wins over its namespace.
	Inject = "sidecar.istio.io/inject"
	// Revision on a namespace or pod: the control plane that injects it. On an object of an installation: whose it is.
	Revision = "istio.io/rev"
	// Network on a namespace: the network of the cluster; on a pod: of that pod; on a Service: that it is a gateway into it.
	Network = "topology.istio.io/network"
	// Cluster on an endpoint: the cluster that it comes from.
	Cluster = "topology.istio.io/cluster"
	// Subzone on a node: the part of a zone that it is in.
	Subzone = "topology.istio.io/subzone"
	// GatewayPort on the Service of a gateway: its port for traffic from other networks, when it is not 15443.
	GatewayPort = "networking.istio.io/gatewayPort"
	// CanonicalName and CanonicalRevision on a pod: what telemetry calls its service.
	CanonicalName     = "service.istio.io/canonical-name"
	CanonicalRevision = "service.istio.io/canonical-revision"
	// TLSMode on a pod: `istio` when its proxy takes mutual TLS.
	TLSMode = "security.istio.io/tlsMode"
	// MultiCluster on a Secret: `true` makes it the credential of another cluster.
	MultiCluster = "istio/multiCluster"
)

// Labels that an installation puts on its objects, so that it finds them again.
const (
	// Managed is `Reconcile` on everything that the installer made.
	Managed = "operator.istio.io/managed"
	// Component is the part that an object belongs to: Base, Pilot, IngressGateways, EgressGateways.
	Component = "operator.istio.io/component"
	// Version is the release that made the object.
	Version = "operator.istio.io/version"
	// Owner is the name of the IstioOperator document; of one without a name that starts from the empty profile, the name of the
	// gateway; else absent. Only the same owner prunes an object.
	Owner = "install.operator.istio.io/owning-resource"
	// OwnerNamespace is the namespace of the control plane that the object belongs to. Only the same one prunes an object.
	OwnerNamespace = "install.operator.istio.io/owning-resource-namespace"
)

// Annotations.
const (
	// Templates on a pod: what to inject, `sidecar` or `gateway`; a comma-separated list.
	Templates = "inject.istio.io/templates"
	// ProxyImage on a pod: the whole reference of its proxy's image.
	ProxyImage = "sidecar.istio.io/proxyImage"
	// Status on an injected pod: JSON of what the injector added.
	Status = "sidecar.istio.io/status"
	// ClusterName on a remote Secret or its account: name of the cluster.
	ClusterName = "networking.istio.io/cluster"
	// ProxyConfig on a pod: YAML of a ProxyConfig that changes the mesh's default.
	ProxyConfig = "proxy.istio.io/config"
	// ControlPlaneClusters on a namespace of a remote cluster: who may write root certificates and webhooks there.
	ControlPlaneClusters = "topology.istio.io/controlPlaneClusters"
)
