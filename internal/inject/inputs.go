package inject

import (
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/isthmus-mesh/isthmus/internal/version"
)

// Inputs is all that injection knows beside the pod. The zero value is a mesh of one cluster with every default.
// Inputs are read-only once they are handed over.
type Inputs struct {
	ClusterID   string // default "Kubernetes"
	Network     string // empty: no network is known
	MeshID      string // default: the trust domain
	TrustDomain string // default "cluster.local"
	Revision    string // empty: the default revision
	Namespace   string // where istiod runs; default "istio-system"

	Hub              string // default version.Hub
	Tag              string // default version.Version
	Image            string // name under Hub, or a whole reference when it has a slash; default "proxy"
	ImagePullPolicy  corev1.PullPolicy
	ImagePullSecrets []string

	CAAddress     string // host:port; default istiod's own
	TokenAudience string // default "istio-ca"
	ClusterDomain string // default "cluster.local"

	LogLevel          string // Envoy's; default "warning"
	ComponentLogLevel string // Envoy's; default "misc:error"
	AgentLogLevel     string // default "default:info"

	Capture      Capture
	StatusPort   *int32 // the agent's port; nil is 15020, 0 turns probes and metrics off
	Readiness    Readiness
	StartupTries *int32                       // seconds that a sidecar may take to start; nil is 600, 0 is no startup probe
	Resources    *corev1.ResourceRequirements // nil: 100m and 128Mi asked, 2 CPUs and 1Gi allowed
	ProxyConfig  *meshconfig.ProxyConfig      // the mesh's defaultConfig; nil is empty

	NativeSidecar     bool // every node that the pod may land on knows restartable init containers
	KeepAppProbes     bool // leave the application's probes as they are
	KeepScrapeTargets bool // leave the application's Prometheus annotations as they are
	Policy            Policy
	Annotations       map[string]string // put on each injected pod that does not have them

	// Env comes from the webhook's URL and is stronger than the mesh's and the pod's own environment.
	// ISTIO_META_CLUSTER_ID and ISTIO_META_NETWORK in it name the pod's place.
	Env map[string]string
}

// Capture says what of the pod's traffic goes through the proxy. Each field is a comma-separated list; the include
// fields may be "*" for everything. Nil stands for the default: everything in and out.
type Capture struct {
	IncludeOutboundCIDRs, ExcludeOutboundCIDRs *string
	IncludeInboundPorts, ExcludeInboundPorts   *string
	IncludeOutboundPorts, ExcludeOutboundPorts *string
	ExcludeInterfaces                          *string // nothing that comes in or goes out there is captured
}

// Readiness is the timing of the proxy's readiness probe. Zero fields take the template's defaults.
type Readiness struct {
	InitialDelaySeconds, PeriodSeconds, FailureThreshold int32
}

func (in Inputs) withDefaults() Inputs {
	fill(&in.ClusterID, "Kubernetes")
	fill(&in.TrustDomain, "cluster.local")
	fill(&in.MeshID, in.TrustDomain)
	fill(&in.Namespace, "istio-system")
	fill(&in.Hub, version.Hub)
	fill(&in.Tag, version.Version)
	fill(&in.Image, "proxy")
	fill(&in.CAAddress, in.istiodAddress())
	fill(&in.TokenAudience, "istio-ca")
	fill(&in.ClusterDomain, "cluster.local")
	fill(&in.LogLevel, "warning")
	fill(&in.ComponentLogLevel, "misc:error")
	fill(&in.AgentLogLevel, "default:info")
	if in.StatusPort == nil {
		in.StatusPort = new(int32(15020))
	}
	if in.StartupTries == nil {
		in.StartupTries = new(int32(600))
	}
	if in.Resources == nil {
		in.Resources = defaultResources()
	}
	if in.ProxyConfig == nil {
		in.ProxyConfig = &meshconfig.ProxyConfig{}
	}
	return in
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// istiodAddress is where proxies find the control plane of their own revision and cluster.
func (in Inputs) istiodAddress() string {
	name := "istiod"
	if in.Revision != "" && in.Revision != "default" {
		name += "-" + in.Revision
	}
	return name + "." + in.Namespace + ".svc:15012"
}

// image is the reference of name, which is either a whole one (it has a slash) or a name in the mesh's hub.
func (in Inputs) image(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return in.Hub + "/" + name + ":" + in.Tag
}

func defaultResources() *corev1.ResourceRequirements {
	return &corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("100m"),
			corev1.ResourceMemory: resource.MustParse("128Mi"),
		},
		Limits: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("2000m"),
			corev1.ResourceMemory: resource.MustParse("1024Mi"),
		},
	}
}
