package inject

import (
	"encoding/json"
	"errors"
	"fmt"

	meshv1 "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/meshconfig"
)

// chartValues is the part of the istiod chart's values that injection reads. The chart writes them, whole, under the
// key "values" of the ConfigMap istio-sidecar-injector; names are Istio's.
type chartValues struct {
	Revision text `json:"revision"`
	Global   struct {
		Hub              string            `json:"hub"`
		Tag              text              `json:"tag"`
		ImagePullPolicy  corev1.PullPolicy `json:"imagePullPolicy"`
		ImagePullSecrets []string          `json:"imagePullSecrets"`
		IstioNamespace   string            `json:"istioNamespace"`
		Network          text              `json:"network"`
		MeshID           text              `json:"meshID"`
		CAAddress        string            `json:"caAddress"`
		MultiCluster     struct {
			ClusterName text `json:"clusterName"`
		} `json:"multiCluster"`
		SDS struct {
			Token struct {
				Aud string `json:"aud"`
			} `json:"token"`
		} `json:"sds"`
		Proxy proxyValues `json:"proxy"`
	} `json:"global"`
	Webhook struct {
		RewriteAppHTTPProbe  *bool                  `json:"rewriteAppHTTPProbe"`
		NeverInjectSelector  []metav1.LabelSelector `json:"neverInjectSelector"`
		AlwaysInjectSelector []metav1.LabelSelector `json:"alwaysInjectSelector"`
		InjectedAnnotations  map[string]string      `json:"injectedAnnotations"`
	} `json:"sidecarInjectorWebhook"`
}

type proxyValues struct {
	AutoInject                   string                       `json:"autoInject"`
	Image                        string                       `json:"image"`
	ClusterDomain                string                       `json:"clusterDomain"`
	LogLevel                     string                       `json:"logLevel"`
	ComponentLogLevel            string                       `json:"componentLogLevel"`
	Resources                    *corev1.ResourceRequirements `json:"resources"`
	StatusPort                   *int32                       `json:"statusPort"`
	ReadinessInitialDelaySeconds int32                        `json:"readinessInitialDelaySeconds"`
	ReadinessPeriodSeconds       int32                        `json:"readinessPeriodSeconds"`
	ReadinessFailureThreshold    int32                        `json:"readinessFailureThreshold"`
	StartupProbe                 struct {
		Enabled          *bool  `json:"enabled"`
		FailureThreshold *int32 `json:"failureThreshold"`
	} `json:"startupProbe"`
	ExcludeInterfaces    *text `json:"excludeInterfaces"`
	IncludeIPRanges      *text `json:"includeIPRanges"`
	ExcludeIPRanges      *text `json:"excludeIPRanges"`
	IncludeInboundPorts  *text `json:"includeInboundPorts"`
	ExcludeInboundPorts  *text `json:"excludeInboundPorts"`
	IncludeOutboundPorts *text `json:"includeOutboundPorts"`
	ExcludeOutboundPorts *text `json:"excludeOutboundPorts"`
}

// text is a string that may have been written without quotes where YAML makes a number of it: a tag, a port, a name.
type text string

// UnmarshalJSON takes a string or a number as it is written.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
		return nil
	}
	var n json.Number
	err := json.Unmarshal(b, &n)
	*t = text(n)
	return err
}

// ErrUnreadable is wrapped when the values are no document at all, so that nothing of them counts.
var ErrUnreadable = errors.New("injector values cannot be read")

// InputsFromConfig reads the values that the chart was installed with (JSON or YAML; key "values" of the ConfigMap
// istio-sidecar-injector) and the MeshConfig (YAML; key "mesh" of the ConfigMap istio). Fields of the MeshConfig that cannot be
// read are at their defaults: whoever watches it reports them.
func InputsFromConfig(valuesJSON, meshYAML []byte) (Inputs, error) {
	mesh, _ := meshconfig.Read(meshYAML, nil)
	return InputsFrom(valuesJSON, mesh.Message)
}

// InputsFrom reads the values for a MeshConfig. Keys that injection does not know are other readers' business; values that it
// knows and cannot use are an error, and unless that is ErrUnreadable the inputs hold all the others.
func InputsFrom(valuesJSON []byte, mesh *meshv1.MeshConfig) (Inputs, error) {
	var v chartValues
	if err := yaml.Unmarshal(valuesJSON, &v); err != nil {
		if wrongType := (*json.UnmarshalTypeError)(nil); !errors.As(err, &wrongType) || wrongType.Field == "" {
			return Inputs{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		return v.inputs(mesh), fmt.Errorf("read injector values: %w", err)
	}
	in := v.inputs(mesh)
	return in, in.check()
}

func (v chartValues) inputs(mesh *meshv1.MeshConfig) Inputs {
	g, p := v.Global, v.Global.Proxy
	in := Inputs{
		ClusterID: string(g.MultiCluster.ClusterName), Network: string(g.Network), MeshID: string(g.MeshID),
		TrustDomain: mesh.GetTrustDomain(), Revision: string(v.Revision), Namespace: g.IstioNamespace,
		Hub: g.Hub, Tag: string(g.Tag), Image: p.Image, ImagePullPolicy: g.ImagePullPolicy, ImagePullSecrets: g.ImagePullSecrets,
		CAAddress: g.CAAddress, TokenAudience: g.SDS.Token.Aud, ClusterDomain: p.ClusterDomain,
		LogLevel: p.LogLevel, ComponentLogLevel: p.ComponentLogLevel,
		Capture:           p.capture(),
		StatusPort:        p.StatusPort,
		Readiness:         Readiness{p.ReadinessInitialDelaySeconds, p.ReadinessPeriodSeconds, p.ReadinessFailureThreshold},
		StartupTries:      p.StartupProbe.FailureThreshold,
		Resources:         p.Resources,
		ProxyConfig:       mesh.GetDefaultConfig(),
		KeepAppProbes:     isFalse(v.Webhook.RewriteAppHTTPProbe),
		KeepScrapeTargets: mesh.GetEnablePrometheusMerge() != nil && !mesh.GetEnablePrometheusMerge().GetValue(),
		Annotations:       v.Webhook.InjectedAnnotations,
		Policy: Policy{
			Disabled: p.AutoInject == "disabled", Revision: string(v.Revision),
			NeverInject: v.Webhook.NeverInjectSelector, AlwaysInject: v.Webhook.AlwaysInjectSelector,
		},
	}
	if isFalse(p.StartupProbe.Enabled) {
		in.StartupTries = new(int32(0))
	}
	if in.MeshID == "" {
		in.MeshID = mesh.GetDefaultConfig().GetMeshId()
	}
	return in
}

func (p proxyValues) capture() Capture {
	return Capture{
		IncludeOutboundCIDRs: (*string)(p.IncludeIPRanges), ExcludeOutboundCIDRs: (*string)(p.ExcludeIPRanges),
		IncludeInboundPorts: (*string)(p.IncludeInboundPorts), ExcludeInboundPorts: (*string)(p.ExcludeInboundPorts),
		IncludeOutboundPorts: (*string)(p.IncludeOutboundPorts), ExcludeOutboundPorts: (*string)(p.ExcludeOutboundPorts),
		ExcludeInterfaces: (*string)(p.ExcludeInterfaces),
	}
}

// check refuses mesh-wide settings with which every pod would be refused.
func (in Inputs) check() error {
	probe := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: "default"}}
	if _, problems := Inject(probe, in); len(problems) > 0 {
		return fmt.Errorf("mesh-wide injection settings: %s", Describe(problems))
	}
	return nil
}

func isFalse(b *bool) bool { return b != nil && !*b }
