// Package bootstrap turns what a pod knows about itself into node metadata and into the configuration that Envoy
// starts with. The agent uses it. It never reads files, the environment or the network.
package bootstrap

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
)

// Kind is what a proxy does; it is the first part of its node ID.
type Kind string

// The kinds of proxies that this agent runs.
const (
	Sidecar Kind = "sidecar" // beside one workload
	Router  Kind = "router"  // a gateway: ingress, egress or east-west
)

// Facts is what a pod knows about itself: from the downward API, from the injector's environment and from files.
type Facts struct {
	Kind           Kind
	Name           string   // of the pod
	Namespace      string   // of the pod
	ServiceAccount string   // of the pod
	IPs            []string // of the pod, the primary one first; never empty in a pod
	Domain         string   // DNS suffix of the pod's namespace: NS.svc.cluster.local
	TrustDomain    string   // of the pod's identity
	Version        string   // of this software, as ISTIO_VERSION

	Labels      map[string]string
	Annotations map[string]string

	// Meta holds the variables ISTIO_META_x under the key x, MetaJSON those of ISTIO_METAJSON_x.
	Meta     map[string]string
	MetaJSON map[string]string

	// Config is the effective ProxyConfig of the pod; never nil after ParseFacts.
	Config *meshv1alpha1.ProxyConfig
}

// Names of the environment that the injector writes and ParseFacts reads.
const (
	metaPrefix     = "ISTIO_META_"
	metaJSONPrefix = "ISTIO_METAJSON_"

	defaultDiscovery   = "istiod.istio-system.svc:15012"
	defaultTrustDomain = "cluster.local"
)

// ParseFacts reads a pod's facts from its environment ("NAME=value" lines) and from the downward API's files
// `labels` and `annotations`, which may be empty.
func ParseFacts(kind Kind, environ []string, labels, annotations string) (Facts, error) {
	env := map[string]string{}
	f := Facts{Kind: kind, Meta: map[string]string{}, MetaJSON: map[string]string{}}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
		if key, ok := strings.CutPrefix(name, metaPrefix); ok {
			f.Meta[key] = value
		}
		if key, ok := strings.CutPrefix(name, metaJSONPrefix); ok {
			f.MetaJSON[key] = value
		}
	}
	f.Name, f.Namespace, f.ServiceAccount = env["POD_NAME"], env["POD_NAMESPACE"], env["SERVICE_ACCOUNT"]
	f.IPs = splitList(env["INSTANCE_IP"])
	f.TrustDomain = orDefault(env["TRUST_DOMAIN"], defaultTrustDomain)
	f.Domain = f.Namespace + ".svc.cluster.local"

	var err error
	if f.Config, err = parseConfig(env["PROXY_CONFIG"]); err != nil {
		return Facts{}, err
	}
	if f.Labels, err = parseDownward(labels); err != nil {
		return Facts{}, fmt.Errorf("read pod labels: %w", err)
	}
	if f.Annotations, err = parseDownward(annotations); err != nil {
		return Facts{}, fmt.Errorf("read pod annotations: %w", err)
	}
	return f, nil
}

// parseConfig reads the ProxyConfig that the injector wrote as JSON. Fields of newer versions are ignored.
func parseConfig(text string) (*meshv1alpha1.ProxyConfig, error) {
	config := &meshv1alpha1.ProxyConfig{}
	if strings.TrimSpace(text) != "" {
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), config); err != nil {
			return nil, fmt.Errorf("read PROXY_CONFIG: %w", err)
		}
	}
	config.DiscoveryAddress = orDefault(config.DiscoveryAddress, defaultDiscovery)
	return config, nil
}

// NodeID names the proxy to the control plane: sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local.
func (f Facts) NodeID() string {
	ip := ""
	if len(f.IPs) > 0 {
		ip = f.IPs[0]
	}
	return strings.Join([]string{string(f.Kind), ip, f.Name + "." + f.Namespace, f.Domain}, "~")
}

// NodeCluster is Envoy's name for the group of alike proxies: the app label or the workload, and the namespace.
func (f Facts) NodeCluster() string {
	for _, name := range []string{f.Labels["app"], f.Meta["WORKLOAD_NAME"]} {
		if name != "" {
			return name + "." + f.Namespace
		}
	}
	return "istio-proxy." + f.Namespace
}

// ClusterID is the Kubernetes cluster that the pod runs in.
func (f Facts) ClusterID() string { return orDefault(f.Meta["CLUSTER_ID"], "Kubernetes") }

// CapturesDNS says whether the pod's DNS queries come to the agent. The injector says so unless it was told otherwise.
func (f Facts) CapturesDNS() bool { return f.Kind == Sidecar && f.Meta["DNS_CAPTURE"] == "true" }

func splitList(s string) []string {
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

func orDefault(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
