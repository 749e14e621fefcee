package operator

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Validate checks what the fields of a merged document say, after Check found their form right.
func (o *IstioOperator) Validate(values Values) []Problem {
	v := &validator{}
	v.label("spec.revision", o.Spec.Revision, "invalid revision specified: "+o.Spec.Revision)
	v.name("spec.namespace", o.Spec.Namespace)
	v.name("metadata.name", o.Metadata.Name)
	v.component("spec.components.base", o.Spec.Components.Base)
	v.component("spec.components.pilot", o.Spec.Components.Pilot)
	v.gateways("spec.components.ingressGateways", o.Spec.Components.IngressGateways)
	v.gateways("spec.components.egressGateways", o.Spec.Components.EgressGateways)
	v.global(values.Global)
	for name, gateway := range values.Gateways {
		v.gatewayValues("spec.values.gateways."+name, name, gateway)
	}
	v.oneOf("spec.values.sidecarInjectorWebhook.reinvocationPolicy", values.SidecarInjectorWebhook.ReinvocationPolicy, "Never", "IfNeeded")
	return v.problems
}

// validator collects what is wrong with single fields.
type validator struct {
	problems []Problem
}

func (v *validator) add(path, text, fix string) {
	v.problems = append(v.problems, Problem{Path: path, Text: text, Fix: fix})
}

// label wants a DNS-1123 label, or nothing.
func (v *validator) label(path, value, text string) {
	if value == "" {
		return
	}
	if errs := validation.IsDNS1123Label(value); len(errs) > 0 {
		v.add(path, text, "use lower case letters, digits and '-', at most 63")
	}
}

// name wants the name of a Kubernetes object, or nothing.
func (v *validator) name(path, value string) {
	v.label(path, value, fmt.Sprintf("%q is not a name that Kubernetes takes", value))
}

// oneOf wants one of a few words, or nothing.
func (v *validator) oneOf(path, value string, allowed ...string) {
	if value == "" {
		return
	}
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	fix := didYouMean(value, append([]string(nil), allowed...))
	if fix == "" {
		fix = "use " + strings.Join(allowed, ", ")
	}
	v.add(path, fmt.Sprintf("%q is none of its values", value), fix)
}

// labelValue wants something that fits behind a Kubernetes label.
func (v *validator) labelValue(path, value string) {
	if errs := validation.IsValidLabelValue(value); len(errs) > 0 {
		v.add(path, fmt.Sprintf("%q does not fit in a label", value), "use letters, digits, '-', '_' and '.', at most 63")
	}
}

func (v *validator) component(path string, c Component) {
	v.name(path+".namespace", c.Namespace)
	v.kubernetes(path+".k8s", c.K8s)
}

func (v *validator) gateways(path string, gateways []Gateway) {
	seen := map[string]bool{}
	for i, g := range gateways {
		at := fmt.Sprintf("%s[%d]", path, i)
		if g.Name == "" {
			v.add(at+".name", "is missing", "every gateway needs a name")
		}
		v.name(at+".name", g.Name)
		v.name(at+".namespace", g.Namespace)
		if key := g.Namespace + "/" + g.Name; g.Name != "" && seen[key] {
			v.add(at+".name", fmt.Sprintf("%q is there twice", g.Name), "")
		} else {
			seen[key] = true
		}
		for key, value := range g.Label {
			v.labelValue(at+".label."+key, value)
		}
		v.kubernetes(at+".k8s", g.K8s)
	}
}

func (v *validator) kubernetes(path string, k Kubernetes) {
	v.oneOf(path+".imagePullPolicy", k.ImagePullPolicy, "Always", "IfNotPresent", "Never")
	if k.ReplicaCount != nil && *k.ReplicaCount < 0 {
		v.add(path+".replicaCount", "must not be negative", "")
	}
	for i, e := range k.Env {
		if e.Name == "" {
			v.add(fmt.Sprintf("%s.env[%d].name", path, i), "is missing", "")
		}
	}
	if k.Service != nil {
		v.oneOf(path+".service.type", string(k.Service.Type), "LoadBalancer", "NodePort", "ClusterIP")
		v.ports(path+".service.ports", k.Service.Ports)
	}
	for i, o := range k.Overlays {
		at := fmt.Sprintf("%s.overlays[%d]", path, i)
		if o.Kind == "" || o.Name == "" {
			v.add(at, "needs the kind and the name of the object that it changes", "")
		}
		for j, p := range o.Patches {
			if p.Path == "" {
				v.add(fmt.Sprintf("%s.patches[%d].path", at, j), "is missing", "")
			}
		}
	}
}

func (v *validator) ports(path string, ports []corev1.ServicePort) {
	for i, p := range ports {
		at := fmt.Sprintf("%s[%d]", path, i)
		if p.Port < 1 || p.Port > 65535 {
			v.add(at+".port", fmt.Sprintf("%d is not a port", p.Port), "use 1 to 65535")
		}
		if len(ports) > 1 && p.Name == "" {
			v.add(at+".name", "is missing", "a Service with several ports needs their names")
		}
		v.oneOf(at+".protocol", string(p.Protocol), "TCP", "UDP", "SCTP")
	}
}

func (v *validator) global(g Global) {
	v.oneOf("spec.values.global.imagePullPolicy", g.ImagePullPolicy, "Always", "IfNotPresent", "Never")
	v.oneOf("spec.values.global.jwtPolicy", g.JWTPolicy, "third-party-jwt")
	v.oneOf("spec.values.global.pilotCertProvider", g.PilotCertProvider, "istiod")
	v.oneOf("spec.values.global.proxy.autoInject", g.Proxy.AutoInject, "enabled", "disabled")
	v.oneOf("spec.values.global.proxy.logLevel", g.Proxy.LogLevel, "trace", "debug", "info", "warning", "error", "critical", "off")
	v.name("spec.values.global.istioNamespace", g.IstioNamespace)
	v.name("spec.values.global.multiCluster.clusterName", g.MultiCluster.ClusterName)
	v.labelValue("spec.values.global.network", g.Network)
}

func (v *validator) gatewayValues(path, name string, g GatewayValues) {
	v.oneOf(path, name, "istio-ingressgateway", "istio-egressgateway")
	v.oneOf(path+".injectionTemplate", g.InjectionTemplate, "gateway")
	v.oneOf(path+".type", g.Type, "LoadBalancer", "NodePort", "ClusterIP")
	v.ports(path+".ports", g.Ports)
}

// MeshNetworkWarnings says what istiod will not be able to use of values.global.meshNetworks. None of it stops an
// installation: a published guide has `endpoints` and `gateways` indented beside their network and must install.
func (g Global) MeshNetworkWarnings() []Problem {
	v := &validator{}
	for name, network := range g.MeshNetworks {
		path := "spec.values.global.meshNetworks." + name
		fields, ok := network.(map[string]any)
		if !ok && network != nil {
			v.add(path, "is not a network: it has no endpoints and gateways below it", "check how far its lines are indented; it is left out")
			continue
		}
		for key, value := range fields {
			if key != "endpoints" && key != "gateways" {
				v.add(path+"."+key, "unknown field", didYouMean(key, []string{"endpoints", "gateways"}))
				continue
			}
			v.networkEntries(path+"."+key, value)
		}
	}
	return v.problems
}

func (v *validator) networkEntries(path string, entries any) {
	list, ok := entries.([]any)
	if !ok {
		v.add(path, "must be a list, is "+jsonKind(entries), "")
		return
	}
	known := []string{
		"fromRegistry", "fromCidr", "registryServiceName", "address", "port", "locality",
		"from_registry", "from_cidr", "registry_service_name",
	}
	for i, entry := range list {
		fields, _ := entry.(map[string]any)
		for key, value := range fields {
			at := fmt.Sprintf("%s[%d].%s", path, i, key)
			if !contains(known, key) {
				v.add(at, "unknown field", didYouMean(key, known))
			}
			if cidr := fmt.Sprint(value); key == "fromCidr" || key == "from_cidr" {
				if _, err := netip.ParsePrefix(cidr); err != nil {
					v.add(at, fmt.Sprintf("%q is not a CIDR", cidr), "write it like 10.0.0.0/16")
				}
			}
		}
	}
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
