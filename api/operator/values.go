package operator

import (
	corev1 "k8s.io/api/core/v1"
)

// Values is the schema of spec.values: the names that the charts know. Sections are shared by all charts (Global) or belong
// to one of them. A nil pointer or empty map means that the chart's own default holds.
type Values struct {
	Global                 Global                   `json:"global,omitempty"`
	Base                   Base                     `json:"base,omitempty"`
	Pilot                  Pilot                    `json:"pilot,omitempty"`
	Gateways               map[string]GatewayValues `json:"gateways,omitempty"`
	SidecarInjectorWebhook SidecarInjectorWebhook   `json:"sidecarInjectorWebhook,omitempty"`
	IstiodRemote           IstiodRemote             `json:"istiodRemote,omitempty"`
	MeshConfig             MeshConfig               `json:"meshConfig,omitempty"`
	Revision               string                   `json:"revision,omitempty"`
	DefaultRevision        string                   `json:"defaultRevision,omitempty"`
	CNI                    Unsupported              `json:"cni,omitempty" unsupported:"the CNI plugin is not yet supported"`
	IstioCNI               Unsupported              `json:"istio_cni,omitempty" unsupported:"the CNI plugin is not yet supported"`
	Ztunnel                Unsupported              `json:"ztunnel,omitempty" unsupported:"ambient mode is not supported"`
	Prometheus             Unsupported              `json:"prometheus,omitempty" unsupported:"add-ons are not yet supported"`
	Telemetry              map[string]any           `json:"telemetry,omitempty"`
}

// Global holds what all charts share.
type Global struct {
	Hub              string       `json:"hub,omitempty"`
	Tag              any          `json:"tag,omitempty"` // a string, or a number that looks like one
	ImagePullPolicy  string       `json:"imagePullPolicy,omitempty"`
	ImagePullSecrets []string     `json:"imagePullSecrets,omitempty"`
	IstioNamespace   string       `json:"istioNamespace,omitempty"`
	MeshID           string       `json:"meshID,omitempty"`
	Network          string       `json:"network,omitempty"`
	MultiCluster     MultiCluster `json:"multiCluster,omitempty"`
	// MeshNetworks is opaque to the installer, because istiod reads it leniently: name -> {endpoints, gateways}.
	MeshNetworks               map[string]any       `json:"meshNetworks,omitempty"`
	CAAddress                  string               `json:"caAddress,omitempty"`
	ConfigValidation           *bool                `json:"configValidation,omitempty"`
	OperatorManageWebhooks     *bool                `json:"operatorManageWebhooks,omitempty"`
	DefaultPodDisruptionBudget Switch               `json:"defaultPodDisruptionBudget,omitempty"`
	PriorityClassName          string               `json:"priorityClassName,omitempty"`
	LogAsJSON                  *bool                `json:"logAsJson,omitempty"`
	Logging                    map[string]string    `json:"logging,omitempty" unsupported:"levels are not yet supported"`
	SDS                        SDS                  `json:"sds,omitempty"`
	Proxy                      Proxy                `json:"proxy,omitempty"`
	ProxyInit                  ProxyInit            `json:"proxy_init,omitempty"`
	EnableReaderRBAC           *bool                `json:"enableReaderRBAC,omitempty"`
	ReaderServiceAccount       ReaderServiceAccount `json:"readerServiceAccount,omitempty"`
	MountMTLSCerts             *bool                `json:"mountMtlsCerts,omitempty" unsupported:"file-mounted certificates are not supported"`
	JWTPolicy                  string               `json:"jwtPolicy,omitempty"` // third-party-jwt is the only one there is
	PilotCertProvider          string               `json:"pilotCertProvider,omitempty"`
	RemotePilotAddress         string               `json:"remotePilotAddress,omitempty" unsupported:"remote installations are not yet supported"`
	ExternalIstiod             *bool                `json:"externalIstiod,omitempty" unsupported:"a control plane outside of the cluster is not yet supported"`
	CentralIstiod              *bool                `json:"centralIstiod,omitempty" unsupported:"a control plane outside of the cluster is not yet supported"`
	ConfigCluster              *bool                `json:"configCluster,omitempty" unsupported:"a control plane outside of the cluster is not yet supported"`
	MeshExpansion              Unsupported          `json:"meshExpansion,omitempty" unsupported:"opening istiod to other clusters through the ingress gateway comes later"`
	ControlPlaneSecurity       *bool                `json:"controlPlaneSecurityEnabled,omitempty"` // always on
	ResourceScope              string               `json:"resourceScope,omitempty"`
	Platform                   string               `json:"platform,omitempty"`
	Variant                    string               `json:"variant,omitempty"`
}

// MultiCluster names this cluster within the mesh.
type MultiCluster struct {
	// Enabled only ever stated an intent; nothing depends on it.
	Enabled            *bool  `json:"enabled,omitempty"`
	ClusterName        string `json:"clusterName,omitempty"`
	GlobalDomainSuffix string `json:"globalDomainSuffix,omitempty" unsupported:"it left Istio with 1.9"`
	IncludeEnvoyFilter *bool  `json:"includeEnvoyFilter,omitempty" unsupported:"it left Istio with 1.9"`
}

// Switch is a section with nothing but an on and off.
type Switch struct {
	Enabled *bool `json:"enabled,omitempty"`
}

// SDS says whom the tokens are for that proxies show to istiod.
type SDS struct {
	Token struct {
		Aud string `json:"aud,omitempty"`
	} `json:"token,omitempty"`
}

// Proxy are defaults of injected proxies.
type Proxy struct {
	Image                        string                       `json:"image,omitempty"`
	ClusterDomain                string                       `json:"clusterDomain,omitempty"`
	LogLevel                     string                       `json:"logLevel,omitempty"`
	ComponentLogLevel            string                       `json:"componentLogLevel,omitempty"`
	Privileged                   *bool                        `json:"privileged,omitempty"`
	AutoInject                   string                       `json:"autoInject,omitempty"`
	StatusPort                   *int32                       `json:"statusPort,omitempty"`
	ReadinessInitialDelaySeconds *int32                       `json:"readinessInitialDelaySeconds,omitempty"`
	ReadinessPeriodSeconds       *int32                       `json:"readinessPeriodSeconds,omitempty"`
	ReadinessFailureThreshold    *int32                       `json:"readinessFailureThreshold,omitempty"`
	StartupProbe                 StartupProbe                 `json:"startupProbe,omitempty"`
	IncludeIPRanges              string                       `json:"includeIPRanges,omitempty"`
	ExcludeIPRanges              string                       `json:"excludeIPRanges,omitempty"`
	IncludeInboundPorts          string                       `json:"includeInboundPorts,omitempty"`
	ExcludeInboundPorts          string                       `json:"excludeInboundPorts,omitempty"`
	IncludeOutboundPorts         string                       `json:"includeOutboundPorts,omitempty"`
	ExcludeOutboundPorts         string                       `json:"excludeOutboundPorts,omitempty"`
	ExcludeInterfaces            string                       `json:"excludeInterfaces,omitempty"`
	HoldApplication              *bool                        `json:"holdApplicationUntilProxyStarts,omitempty"`
	Resources                    *corev1.ResourceRequirements `json:"resources,omitempty"`
	Lifecycle                    *corev1.Lifecycle            `json:"lifecycle,omitempty"`
	Tracer                       string                       `json:"tracer,omitempty" unsupported:"use meshConfig.extensionProviders"`
	EnableCoreDump               *bool                        `json:"enableCoreDump,omitempty" unsupported:"core dumps are set up on the node"`
}

// StartupProbe of injected proxies.
type StartupProbe struct {
	Enabled          *bool  `json:"enabled,omitempty"`
	FailureThreshold *int32 `json:"failureThreshold,omitempty"`
}

// ProxyInit is the init container that redirects traffic.
type ProxyInit struct {
	Image     string                       `json:"image,omitempty"`
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
}

// ReaderServiceAccount is what other clusters read this one with.
type ReaderServiceAccount struct {
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Secrets   *bool  `json:"secrets,omitempty"`
}

// Base belongs to the chart base.
type Base struct {
	EnableCRDTemplates  *bool    `json:"enableCRDTemplates,omitempty"`
	ExcludedCRDs        []string `json:"excludedCRDs,omitempty"`
	EnableIstioConfig   *bool    `json:"enableIstioConfigCRDs,omitempty"` // in Istio's chart too; CRDs are always made
	ValidationURL       string   `json:"validationURL,omitempty" unsupported:"remote validation is not yet supported"`
	ValidationCABundle  string   `json:"validationCABundle,omitempty" unsupported:"remote validation is not yet supported"`
	DefaultRevisionName string   `json:"defaultRevision,omitempty"`
}

// Pilot belongs to the chart istiod.
type Pilot struct {
	Enabled                   *bool                             `json:"enabled,omitempty"`
	Hub                       string                            `json:"hub,omitempty"`
	Tag                       any                               `json:"tag,omitempty"`
	Image                     string                            `json:"image,omitempty"`
	Variant                   string                            `json:"variant,omitempty"`
	ReplicaCount              *int32                            `json:"replicaCount,omitempty"`
	AutoscaleEnabled          *bool                             `json:"autoscaleEnabled,omitempty"`
	AutoscaleMin              *int32                            `json:"autoscaleMin,omitempty"`
	AutoscaleMax              *int32                            `json:"autoscaleMax,omitempty"`
	CPU                       TargetUtilization                 `json:"cpu,omitempty"`
	RollingMaxSurge           any                               `json:"rollingMaxSurge,omitempty"`
	RollingMaxUnavailable     any                               `json:"rollingMaxUnavailable,omitempty"`
	Resources                 *corev1.ResourceRequirements      `json:"resources,omitempty"`
	Env                       map[string]any                    `json:"env,omitempty"`
	EnvVarFrom                []corev1.EnvVar                   `json:"envVarFrom,omitempty"`
	ExtraContainerArgs        []string                          `json:"extraContainerArgs,omitempty"`
	NodeSelector              map[string]string                 `json:"nodeSelector,omitempty"`
	Tolerations               []corev1.Toleration               `json:"tolerations,omitempty"`
	Affinity                  *corev1.Affinity                  `json:"affinity,omitempty"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	PodAnnotations            map[string]string                 `json:"podAnnotations,omitempty"`
	PodLabels                 map[string]string                 `json:"podLabels,omitempty"`
	DeploymentLabels          map[string]string                 `json:"deploymentLabels,omitempty"`
	ServiceAnnotations        map[string]string                 `json:"serviceAnnotations,omitempty"`
	ServiceAccountAnnotations map[string]string                 `json:"serviceAccountAnnotations,omitempty"`
	TraceSampling             *float64                          `json:"traceSampling,omitempty"`
	ConfigMap                 *bool                             `json:"configMap,omitempty"`
	Volumes                   []corev1.Volume                   `json:"volumes,omitempty"`
	VolumeMounts              []corev1.VolumeMount              `json:"volumeMounts,omitempty"`
	MaxConnectionAge          string                            `json:"keepaliveMaxServerConnectionAge,omitempty"`
	CNI                       Unsupported                       `json:"cni,omitempty" unsupported:"the CNI plugin is not yet supported"`
}

// TargetUtilization is when an autoscaler adds replicas, in percent of the request.
type TargetUtilization struct {
	TargetAverageUtilization *int32 `json:"targetAverageUtilization,omitempty"`
}

// GatewayValues are defaults of all ingress (istio-ingressgateway) or all egress (istio-egressgateway) gateways.
type GatewayValues struct {
	Enabled               *bool                        `json:"enabled,omitempty"`
	Name                  string                       `json:"name,omitempty"`
	InjectionTemplate     string                       `json:"injectionTemplate,omitempty"` // gateways are always injected from `gateway`
	Type                  string                       `json:"type,omitempty"`
	Ports                 []corev1.ServicePort         `json:"ports,omitempty"`
	Labels                map[string]string            `json:"labels,omitempty"`
	Env                   map[string]any               `json:"env,omitempty"`
	ReplicaCount          *int32                       `json:"replicaCount,omitempty"`
	AutoscaleEnabled      *bool                        `json:"autoscaleEnabled,omitempty"`
	AutoscaleMin          *int32                       `json:"autoscaleMin,omitempty"`
	AutoscaleMax          *int32                       `json:"autoscaleMax,omitempty"`
	CPU                   TargetUtilization            `json:"cpu,omitempty"`
	Resources             *corev1.ResourceRequirements `json:"resources,omitempty"`
	LoadBalancerIP        string                       `json:"loadBalancerIP,omitempty"`
	ExternalTrafficPolicy string                       `json:"externalTrafficPolicy,omitempty"`
	ServiceAnnotations    map[string]string            `json:"serviceAnnotations,omitempty"`
	PodAnnotations        map[string]string            `json:"podAnnotations,omitempty"`
	NodeSelector          map[string]string            `json:"nodeSelector,omitempty"`
	Tolerations           []corev1.Toleration          `json:"tolerations,omitempty"`
}

// SidecarInjectorWebhook says who is injected.
type SidecarInjectorWebhook struct {
	AlwaysInjectSelector      []any             `json:"alwaysInjectSelector,omitempty"`
	NeverInjectSelector       []any             `json:"neverInjectSelector,omitempty"`
	InjectedAnnotations       map[string]string `json:"injectedAnnotations,omitempty"`
	EnableNamespacesByDefault *bool             `json:"enableNamespacesByDefault,omitempty"`
	ReinvocationPolicy        string            `json:"reinvocationPolicy,omitempty"`
	RewriteAppHTTPProbe       *bool             `json:"rewriteAppHTTPProbe,omitempty"`
	DefaultTemplates          []string          `json:"defaultTemplates,omitempty"`
	Templates                 map[string]string `json:"templates,omitempty" unsupported:"pods are patched with typed objects, not with templates"`
}

// IstiodRemote says where another istiod is that injects pods here.
type IstiodRemote struct {
	InjectionURL               string `json:"injectionURL,omitempty"`
	InjectionPath              string `json:"injectionPath,omitempty"`
	InjectionCABundle          string `json:"injectionCABundle,omitempty"`
	Enabled                    *bool  `json:"enabled,omitempty" unsupported:"remote installations are not yet supported"`
	EnabledLocalInjectorIstiod *bool  `json:"enabledLocalInjectorIstiod,omitempty" unsupported:"remote installations are not yet supported"`
}
