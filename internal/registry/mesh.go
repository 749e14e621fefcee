package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshv1 "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

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

// MeshFrom reads MeshConfig (https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/) and meshNetworks as the
// ConfigMap istio holds them, under the keys mesh and meshNetworks. What cannot be read or is not known is a problem, and
// everything else counts. Both may be empty.
func MeshFrom(meshYAML, networksYAML []byte, own Own) (*model.Mesh, []model.Problem) {
	r := &meshReader{}
	config := &meshv1.MeshConfig{}
	r.readFields("mesh", meshYAML, config)

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
	mesh.Networks = r.readNetworks(networksYAML)
	return mesh, r.problems
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

// meshReader collects what is wrong while it reads.
type meshReader struct {
	problems []model.Problem
}

func (r *meshReader) problem(document, format string, args ...any) {
	ref := model.Ref{Kind: "ConfigMap key", Name: document}
	r.problems = append(r.problems, model.Problem{Object: ref, Text: fmt.Sprintf(format, args...)})
}

// fields splits a YAML document into its top-level fields.
func (r *meshReader) fields(document string, text []byte) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if err := yaml.Unmarshal(text, &fields); err != nil {
		r.problem(document, "cannot be read and is left out: %v", err)
		return nil
	}
	return fields
}

// readFields reads a YAML document into a message, field by field, so that a bad one spoils no other.
func (r *meshReader) readFields(document string, text []byte, into proto.Message) {
	fields := r.fields(document, text)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		if err != nil {
			r.problem(document, "%s is left out: %v", name, err)
			continue
		}
		part := into.ProtoReflect().New().Interface()
		if r.read(document, name, one, part) {
			proto.Merge(into, part)
		}
	}
}

// read reads JSON into a message. Keys that are not known are left out with a problem, and false says that nothing could
// be read.
func (r *meshReader) read(document, name string, text []byte, into proto.Message) bool {
	strict := protojson.Unmarshal(text, into)
	if strict == nil {
		return true
	}
	proto.Reset(into)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, into); err != nil {
		r.problem(document, "%s is left out: %s", name, plain(err))
		return false
	}
	r.problem(document, "%s: %s", name, plain(strict))
	return true
}

// plain takes off what protojson puts before its errors: the module's name, and a space that it varies on purpose.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(strings.TrimPrefix(text, "proto: "), "(line 1:2): ")
}

// readNetworks reads meshNetworks. A network that is declared without a body counts, with nothing in it.
func (r *meshReader) readNetworks(text []byte) []model.NetworkSetting {
	const document = "meshNetworks"
	top := r.fields(document, text)
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if name != "networks" {
			r.problem(document, "%s is not known and left out: everything belongs under networks", name)
		}
	}
	networks := r.fields(document, top["networks"])
	var settings []model.NetworkSetting
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		body := networks[name]
		if name == "endpoints" || name == "gateways" {
			if len(body) > 0 && body[0] == '[' {
				r.problem(document, "%s stands beside the networks and is left out: indent it below the network that it belongs to", name)
				continue
			}
		}
		network := &meshv1.Network{}
		if string(body) == "null" || r.read(document, name, body, network) {
			settings = append(settings, r.networkSetting(document, name, network))
		}
	}
	r.checkRegistries(document, settings)
	return settings
}

func (r *meshReader) networkSetting(document, name string, network *meshv1.Network) model.NetworkSetting {
	setting := model.NetworkSetting{Network: model.Network(name)}
	for _, e := range network.GetEndpoints() {
		if registry := e.GetFromRegistry(); registry != "" {
			setting.Registries = append(setting.Registries, model.Cluster(registry))
		}
		if text := e.GetFromCidr(); text != "" {
			cidr, err := netip.ParsePrefix(text)
			if err != nil {
				r.problem(document, "network %s: fromCidr %q is not of the form 10.0.0.0/8 and is left out", name, text)
				continue
			}
			setting.CIDRs = append(setting.CIDRs, cidr.Masked())
		}
	}
	for _, g := range network.GetGateways() {
		gateway := model.NetworkGatewaySetting{
			Address: g.GetAddress(),
			Service: model.Hostname(g.GetRegistryServiceName()),
			Port:    uint16(g.GetPort()),
		}
		switch {
		case g.GetPort() == 0 || g.GetPort() > 65535:
			r.problem(document, "network %s: a gateway with port %d is left out: 1 to 65535 is possible", name, g.GetPort())
		case gateway.Address == "" && gateway.Service == "":
			r.problem(document, "network %s: a gateway without address or registryServiceName is left out", name)
		default:
			setting.Gateways = append(setting.Gateways, gateway)
		}
	}
	return setting
}

// checkRegistries reports a cluster that two networks claim: the first network, by name, has it.
func (r *meshReader) checkRegistries(document string, settings []model.NetworkSetting) {
	first := make(map[model.Cluster]model.Network)
	for _, s := range settings {
		for _, c := range s.Registries {
			if n, taken := first[c]; taken {
				r.problem(document, "network %s: fromRegistry %s belongs to network %s already, which keeps it", s.Network, c, n)
				continue
			}
			first[c] = s.Network
		}
	}
}
