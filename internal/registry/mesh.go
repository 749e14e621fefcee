package registry

import (
	"cmp"
	"net"
	"strings"
	"time"

	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/isthmus-mesh/isthmus/internal/meshconfig"
	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Own is what a control plane knows of itself, not from MeshConfig.
type Own struct {
	Cluster   model.Cluster // CLUSTER_ID; empty means Kubernetes
	Network   model.Network // as installed; may be empty
	MeshID    string        // wins over that of MeshConfig
	Domain    string        // suffix of service names; empty means cluster.local
	Namespace string        // of the control plane; empty means istio-system
}

// MeshFrom makes the settings of MeshConfig and meshNetworks as the ConfigMap istio holds them, under the keys mesh and
// meshNetworks. What cannot be read or is not known is a problem, and everything else counts. Both may be empty.
func MeshFrom(meshYAML, networksYAML []byte, own Own) (*model.Mesh, []model.Problem) {
	config, problems := meshconfig.Read(meshYAML, nil)
	networks, more := NetworksFrom(networksYAML, nil)
	return MeshOf(config, networks, own), append(problems, more...)
}

// MeshOf makes the settings of what was read.
func MeshOf(read *meshconfig.Config, networks []model.NetworkSetting, own Own) *model.Mesh {
	config := read.Message
	domain := cmp.Or(own.Domain, "cluster.local")
	mesh := &model.Mesh{
		ID:              cmp.Or(own.MeshID, config.GetDefaultConfig().GetMeshId()),
		TrustDomain:     cmp.Or(config.GetTrustDomain(), "cluster.local"),
		TrustAliases:    config.GetTrustDomainAliases(),
		Domain:          domain,
		RootNamespace:   cmp.Or(config.GetRootNamespace(), own.Namespace, "istio-system"),
		Cluster:         cmp.Or(own.Cluster, kubernetesRegistry),
		Network:         own.Network,
		ConnectTimeout:  10 * time.Second,
		AccessLogFile:   config.GetAccessLogFile(),
		AccessLogFormat: config.GetAccessLogFormat(),
		AccessLogJSON:   config.GetAccessLogEncoding() == meshv1.MeshConfig_JSON,
		RegistryOnly: config.GetOutboundTrafficPolicy() != nil && // the zero mode is REGISTRY_ONLY, the default ALLOW_ANY
			config.GetOutboundTrafficPolicy().GetMode() == meshv1.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY,
		AutoMTLS:  config.GetEnableAutoMtls() == nil || config.GetEnableAutoMtls().GetValue(),
		Detection: detection(config),
	}
	if config.GetConnectTimeout() != nil {
		mesh.ConnectTimeout = config.GetConnectTimeout().AsDuration()
	}
	if host := discoveryHost(config, domain); host != "" {
		mesh.ClusterLocal = append(mesh.ClusterLocal, model.HostSetting{Host: host, ClusterLocal: true})
	}
	for _, s := range config.GetServiceSettings() {
		for _, host := range s.GetHosts() {
			mesh.ClusterLocal = append(mesh.ClusterLocal, model.HostSetting{Host: host, ClusterLocal: s.GetSettings().GetClusterLocal()})
		}
	}
	mesh.Networks = networks
	return mesh
}

// detection is what protocolDetectionTimeout says, for all connections. Istio waits without end when it says nothing, and so
// a server that speaks first is never heard on a port without a protocol. Here each kind of connection waits as long as
// a wrong guess would hurt: little where bytes reach the same service as requests do; longer than lost packets delay
// the first bytes of TLS; and without end where bytes would go past the mesh, since clients keep connections that they
// have not used yet.
func detection(config *meshv1.MeshConfig) model.Detection {
	if said := config.GetProtocolDetectionTimeout(); said != nil {
		d := said.AsDuration()
		return model.Detection{Inbound: d, Unnamed: d, HTTP: d}
	}
	return model.Detection{Inbound: 5 * time.Second, Unnamed: time.Second}
}

// discoveryHost gives the full name of the control plane's own service, which is local to its cluster. An address is none.
func discoveryHost(config *meshv1.MeshConfig, domain string) string {
	address := config.GetDefaultConfig().GetDiscoveryAddress()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if strings.HasSuffix(host, ".svc") {
		return host + "." + domain
	}
	if strings.HasSuffix(host, ".svc."+domain) {
		return host
	}
	return ""
}
