// Package operator holds the IstioOperator document (install.istio.io/v1alpha1): its types, their strict check, and what the
// fields mean. The installer and the command line use it. It never reads files, merges documents or renders anything.
package operator

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// APIVersion and Kind are what every document must carry.
const (
	APIVersion = "install.istio.io/v1alpha1"
	Kind       = "IstioOperator"
)

// IstioOperator says how one control plane, or a part of one, is installed. A field's tag `unsupported` names why a value
// other than its zero value is refused for now; it is recognised so that the message can say so.
// See https://istio.io/latest/docs/reference/config/istio.operator.v1alpha1/.
type IstioOperator struct {
	APIVersion string   `json:"apiVersion,omitempty"`
	Kind       string   `json:"kind,omitempty"`
	Metadata   Metadata `json:"metadata,omitempty"`
	Spec       Spec     `json:"spec,omitempty"`
}

// Metadata names the document. The name owns what it installs: only the same name prunes it.
type Metadata struct {
	Name              string            `json:"name,omitempty"`
	Namespace         string            `json:"namespace,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	CreationTimestamp any               `json:"creationTimestamp,omitempty"`
}

// Spec is what to install and how.
type Spec struct {
	// Profile is the set of settings to start from: a name, or the path of a file. Default: default.
	Profile string `json:"profile,omitempty"`
	// InstallPackagePath is a folder of charts to use instead of the built-in ones.
	InstallPackagePath string `json:"installPackagePath,omitempty"`
	// Revision suffixes names and is the value of the label istio.io/rev; empty is the default revision.
	Revision string `json:"revision,omitempty"`
	// Hub and Tag say where images come from. Default: this release.
	Hub string `json:"hub,omitempty"`
	Tag string `json:"tag,omitempty"`
	// Namespace of the control plane. Default: istio-system.
	Namespace            string     `json:"namespace,omitempty"`
	CompatibilityVersion string     `json:"compatibilityVersion,omitempty" unsupported:"this version has one set of defaults"`
	MeshConfig           MeshConfig `json:"meshConfig,omitempty"`
	Components           Components `json:"components,omitempty"`
	Values               RawValues  `json:"values,omitempty"`
	// UnvalidatedValues are merged over Values without a check.
	UnvalidatedValues map[string]any `json:"unvalidatedValues,omitempty"`
	AddonComponents   map[string]any `json:"addonComponents,omitempty" unsupported:"add-ons are not yet supported"`
}

// MeshConfig is istio.mesh.v1alpha1.MeshConfig as a JSON tree; field names may be written in either proto JSON form.
type MeshConfig map[string]any

// RawValues are chart values as a JSON tree, so that what was left out stays apart from what was set to nothing.
// The type Values is their schema.
type RawValues map[string]any

// Components are the parts of an installation.
type Components struct {
	Base            Component   `json:"base,omitempty"`
	Pilot           Component   `json:"pilot,omitempty"`
	IngressGateways []Gateway   `json:"ingressGateways,omitempty"`
	EgressGateways  []Gateway   `json:"egressGateways,omitempty"`
	CNI             Unsupported `json:"cni,omitempty" unsupported:"the CNI plugin is not yet supported: capture is set up by an init container"`
	Ztunnel         Unsupported `json:"ztunnel,omitempty" unsupported:"ambient mode is not supported"`
	IstiodRemote    Unsupported `json:"istiodRemote,omitempty" unsupported:"remote installations are not yet supported"`
	Policy          Unsupported `json:"policy,omitempty" unsupported:"it left Istio with 1.7"`
	Telemetry       Unsupported `json:"telemetry,omitempty" unsupported:"it left Istio with 1.7"`
	Citadel         Unsupported `json:"citadel,omitempty" unsupported:"it left Istio with 1.6: the certificate authority is part of istiod"`
}

// Unsupported is a part that is recognised but cannot be switched on.
type Unsupported map[string]any

// Component is one part that exists once.
type Component struct {
	Enabled   *bool      `json:"enabled,omitempty"`
	Namespace string     `json:"namespace,omitempty"`
	Hub       string     `json:"hub,omitempty"`
	Tag       string     `json:"tag,omitempty"`
	K8s       Kubernetes `json:"k8s,omitempty"`
}

// Gateway is one ingress, egress or east-west gateway.
type Gateway struct {
	Name      string            `json:"name,omitempty"`
	Namespace string            `json:"namespace,omitempty"`
	Enabled   *bool             `json:"enabled,omitempty"`
	Label     map[string]string `json:"label,omitempty"`
	Hub       string            `json:"hub,omitempty"`
	Tag       string            `json:"tag,omitempty"`
	K8s       Kubernetes        `json:"k8s,omitempty"`
}

// Kubernetes are settings of a component's workload and Service.
type Kubernetes struct {
	Affinity            *corev1.Affinity                           `json:"affinity,omitempty"`
	Env                 []corev1.EnvVar                            `json:"env,omitempty"`
	HPASpec             *autoscalingv2.HorizontalPodAutoscalerSpec `json:"hpaSpec,omitempty"`
	ImagePullPolicy     string                                     `json:"imagePullPolicy,omitempty"`
	NodeSelector        map[string]string                          `json:"nodeSelector,omitempty"`
	PodAnnotations      map[string]string                          `json:"podAnnotations,omitempty"`
	PodDisruptionBudget *policyv1.PodDisruptionBudgetSpec          `json:"podDisruptionBudget,omitempty"`
	PriorityClassName   string                                     `json:"priorityClassName,omitempty"`
	ReplicaCount        *int32                                     `json:"replicaCount,omitempty"`
	Resources           *corev1.ResourceRequirements               `json:"resources,omitempty"`
	Service             *corev1.ServiceSpec                        `json:"service,omitempty"`
	ServiceAnnotations  map[string]string                          `json:"serviceAnnotations,omitempty"`
	Strategy            *appsv1.DeploymentStrategy                 `json:"strategy,omitempty"`
	Tolerations         []corev1.Toleration                        `json:"tolerations,omitempty"`
	ReadinessProbe      *corev1.Probe                              `json:"readinessProbe,omitempty" unsupported:"use an overlay"`
	SecurityContext     *corev1.PodSecurityContext                 `json:"securityContext,omitempty" unsupported:"use an overlay"`
	Volumes             []corev1.Volume                            `json:"volumes,omitempty" unsupported:"use an overlay"`
	VolumeMounts        []corev1.VolumeMount                       `json:"volumeMounts,omitempty" unsupported:"use an overlay"`
	Overlays            []Overlay                                  `json:"overlays,omitempty"`
}

// Overlay changes one rendered object.
type Overlay struct {
	APIVersion string  `json:"apiVersion,omitempty"`
	Kind       string  `json:"kind,omitempty"`
	Name       string  `json:"name,omitempty"`
	Patches    []Patch `json:"patches,omitempty"`
}

// Patch sets the value at Path, or removes what is there when Value is absent. Path is written like
// spec.template.spec.containers.[name:discovery].args.[0]; the index [-1] appends.
type Patch struct {
	Path  string `json:"path,omitempty"`
	Value any    `json:"value,omitempty"`
}

// On reports whether a switch that may be absent is on.
func On(enabled *bool) bool { return enabled != nil && *enabled }
